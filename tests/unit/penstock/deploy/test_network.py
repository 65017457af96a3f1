"""Whom pods may speak to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from penstock.deploy.network import network_policy
from penstock.sink import Endpoint
from support.deployed import GRAPH, TABLE, deployed

if TYPE_CHECKING:
    from penstock.deploy.placement import Deployed

DNS = {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def egress(found: Deployed) -> list[Any]:
    first, *others = network_policy(found)["spec"]["egress"]
    assert first == DNS
    return others


def ports(*numbers: int) -> dict[str, Any]:
    return {"ports": [{"port": number, "protocol": "TCP"} for number in numbers]}


def test_names_are_allowed_by_port() -> None:
    assert egress(deployed()) == [ports(5672, 5432)]
    assert egress(deployed(GRAPH, RABBITMQ_TLS="true", NEO4J_URL="neo4j://graph")) == [ports(5671, 7687)]


def test_every_broker_and_every_backup_is_allowed_once() -> None:
    found = deployed(
        RABBITMQ_HOST="one:5673,two:5673,three",
        POSTGRES_BACKUP_URL="postgresql://backup:6432/music",
        PENSTOCK_FAILOVER__MODE="replica",
    )
    assert egress(found) == [ports(5673, 5672, 5432, 6432)]


def test_an_address_is_allowed_alone() -> None:
    found = egress(deployed(RABBITMQ_HOST="10.0.0.7", POSTGRES_HOST="[fd00::5]"))
    assert found == [
        {"to": [{"ipBlock": {"cidr": "10.0.0.7/32"}}], **ports(5672)},
        {"to": [{"ipBlock": {"cidr": "fd00::5/128"}}], **ports(5432)},
    ]


def test_a_sink_of_another_kind_is_allowed_where_its_address_names_a_port() -> None:
    def at(url: str) -> Deployed:
        return deployed(replace(TABLE, endpoints=lambda _: [Endpoint("one", url)]))

    assert egress(at("redis://cache:6379/0")) == [ports(5672, 6379)]
    assert egress(at("redis://cache/0")) == egress(at("/var/notes.sqlite")) == [ports(5672)]


def test_only_prometheus_may_ask_and_only_on_the_port_of_http() -> None:
    spec = network_policy(deployed())["spec"]
    [rule] = spec["ingress"]
    assert rule["ports"] == [{"port": 8080, "protocol": "TCP"}]
    [source] = rule["from"]
    assert source["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": "monitoring"}
    assert source["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "prometheus"}
    assert spec["policyTypes"] == ["Ingress", "Egress"]
    # The pods that prune the ledger are confined as well.
    assert "app.kubernetes.io/component" not in spec["podSelector"]["matchLabels"]
