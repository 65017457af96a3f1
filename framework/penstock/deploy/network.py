"""Whom a worker's pods may speak to: its broker, its sink and DNS; Prometheus may ask them."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

from penstock.addresses import each_host, host_of, split_host
from penstock.broker_address import addresses
from penstock.deploy.names import metadata, selector

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed

#: Where a server answers whose address names no port, by scheme.
_PORTS = {"postgresql": 5432, "postgres": 5432, "bolt": 7687, "neo4j": 7687, "http": 80, "https": 443}
_DNS = 53


def network_policy(deployed: Deployed) -> Manifest:
    """Egress to the ports of broker and sink, at their addresses where these are none but numbers, and to DNS.

    A policy knows no names: where the settings name a host, any host is allowed on its port.
    """
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(deployed),
        "spec": {
            "podSelector": {"matchLabels": selector(deployed, component=None)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {
                    "from": [_prometheus(deployed.placement.monitoring)],
                    "ports": [{"port": deployed.port, "protocol": "TCP"}],
                }
            ],
            "egress": [
                {"ports": [{"port": _DNS, "protocol": protocol} for protocol in ("UDP", "TCP")]},
                *_egress(deployed),
            ],
        },
    }


def _egress(deployed: Deployed) -> Iterator[Manifest]:
    named: list[int] = []
    numbered: dict[str, list[int]] = {}
    for host, port in dict.fromkeys(_servers(deployed)):
        block = _block(host)
        ports = named if block is None else numbered.setdefault(block, [])
        if port not in ports:
            ports.append(port)
    if named:
        yield {"ports": [{"port": port, "protocol": "TCP"} for port in named]}
    for block, ports in numbered.items():
        yield {
            "to": [{"ipBlock": {"cidr": block}}],
            "ports": [{"port": port, "protocol": "TCP"} for port in ports],
        }


def _servers(deployed: Deployed) -> Iterator[tuple[str, int]]:
    """Host and port of each broker and of each server of the sink; a sink that is no server has none."""
    for broker in addresses(deployed.settings.rabbitmq):
        yield split_host(broker.place, _DNS)
    for endpoint in deployed.endpoints:
        scheme = endpoint.url.partition("://")[0].partition("+")[0]
        if "://" not in endpoint.url:
            continue
        for url in each_host(endpoint.url):
            host, port = split_host(host_of(url), _PORTS.get(scheme, 0))
            if port:
                yield host, port


def _block(host: str) -> str | None:
    """The one address as a block, where the host is an address and no name."""
    try:
        address = ip_address(host.strip("[]"))
    except ValueError:
        return None
    return f"{address}/{address.max_prefixlen}"


def _prometheus(namespace: str) -> Manifest:
    return {
        "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        "podSelector": {"matchLabels": {"app.kubernetes.io/name": "prometheus"}},
    }
