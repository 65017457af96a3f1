"""RabbitMQ's own plugin has what the alerts ask of it, on each version."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from penstock.drill.servers import Unavailable, running
from penstock.drill.servers.rabbitmq import native_rabbitmq, native_rabbitmq4
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports
from support import broker
from support.checkout import ROOT
from support.prometheus import RULES
from support.tools import absent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers.native import NativeServer

#: Switches the plugin on, on a port of our own.
ENABLE = """
application:set_env(rabbitmq_prometheus, tcp_config, [{{ip, "127.0.0.1"}}, {{port, {port}}}], [{{persistent, true}}]),
{{ok, File}} = application:get_env(rabbit, enabled_plugins_file),
ok = file:write_file(File, "[rabbitmq_management,rabbitmq_prometheus].\\n"),
rabbit_plugins:ensure(File).
"""


# Not in Docker, where the plugin's port would not be published.
@pytest.fixture(params=[native_rabbitmq, native_rabbitmq4], ids=["rabbitmq", "rabbitmq4"], scope="module")
def node(request: pytest.FixtureRequest) -> Iterator[NativeServer]:
    try:
        server: NativeServer = request.param()
    except Unavailable as reason:
        absent(reason)
    with running(server) as found:
        yield found


def expressions() -> list[str]:
    """What the alerts ask; their descriptions name the plugin as well."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return [rule["expr"] for group in groups for rule in group["rules"]]


def asked(port: int) -> dict[tuple[str, str], float]:
    """What compose's Prometheus would get of each queue: values by metric and queue."""
    configuration = yaml.safe_load((ROOT / "compose/prometheus/prometheus.yml").read_text())
    [job] = [one for one in configuration["scrape_configs"] if one["job_name"] == "rabbitmq-queues"]
    answer = httpx.get(f"http://127.0.0.1:{port}{job['metrics_path']}", params=job["params"], timeout=10)
    answer.raise_for_status()
    return {
        (sample.name, sample.labels["queue"]): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
        if {"queue", "vhost"} <= sample.labels.keys()
    }


def test_depth_and_consumers_of_a_queue_are_told(node: NativeServer) -> None:
    [port] = free_ports(1)
    node.control("eval", ENABLE.format(port=port))
    asyncio.run(broker.declare_queue(node.url, "orders", "shop", {"x-queue-type": "quorum"}))
    asyncio.run(broker.publish(node.url, "shop", [("order", {"number": 1})] * 3))
    named = {name for expression in expressions() for name in re.findall(r"\brabbitmq_\w+", expression)}
    assert len(named) == 2

    def told() -> bool:
        found = asked(port)
        return found.get(("rabbitmq_detailed_queue_messages_ready", "orders")) == 3

    wait_until(told, 60, "the broker tells of three messages")
    found = asked(port)
    assert found["rabbitmq_detailed_queue_consumers", "orders"] == 0
    assert named <= {name for name, _ in found}
