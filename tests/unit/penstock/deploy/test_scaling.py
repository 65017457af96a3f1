"""How many replicas: bounded by order and connections, by the depth of the queue, and none more into an outage."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from penstock.breaker import Breaker
from penstock.deploy.scaling import most_replicas, needed_keys, scaled_object, trigger_authentication
from penstock.metrics import Metrics
from penstock.settings import BreakerSettings
from penstock.sink import Endpoint
from support.clock import ManualClock
from support.deployed import EVENTS, GRAPH, ORDERED, PLACEMENT, TABLE, deployed

if TYPE_CHECKING:
    from penstock.worker import Worker


def trigger(name: str, **variables: str) -> dict[str, Any]:
    found = {one["name"]: one["metadata"] for one in scaled_object(deployed(**variables))["spec"]["triggers"]}
    return found[name]


@pytest.mark.parametrize(("worker", "replicas"), [(TABLE, 4), (EVENTS, 4), (GRAPH, 6), (ORDERED, 1)])
def test_order_bounds_replicas_then_connections_do(worker: Worker, replicas: int) -> None:
    assert most_replicas(deployed(worker)).replicas == replicas
    assert scaled_object(deployed(worker))["spec"]["maxReplicaCount"] == replicas


def test_the_reason_stands_beside_the_bound() -> None:
    def reason(worker: Worker) -> str:
        return scaled_object(deployed(worker))["metadata"]["annotations"]["penstock/max-replicas"]

    assert reason(ORDERED).startswith("1: records without a version are written in order by one process only")
    assert reason(TABLE).startswith("4: 80 connections")
    assert "postgres.pool_max" in reason(TABLE)


def test_a_larger_pool_or_fewer_connections_mean_fewer_replicas_and_one_at_least() -> None:
    assert most_replicas(deployed(POSTGRES_HOST="db", PENSTOCK_POSTGRES__POOL_MAX="40")).replicas == 2
    few = replace(PLACEMENT, connections=10)
    assert most_replicas(deployed(placement=few)).replicas == 1
    many = replace(PLACEMENT, connections=1000)
    assert most_replicas(deployed(placement=many)).replicas == 50


def test_a_sink_without_a_known_pool_says_so() -> None:
    bound = most_replicas(deployed(replace(TABLE, endpoints=lambda _: [Endpoint("one", "redis://cache:6379")])))
    assert bound.replicas > 1
    assert "not known" in bound.reason


def test_a_process_for_each_prefetch_that_waits_or_is_held() -> None:
    found = scaled_object(deployed(PENSTOCK_BATCH__COUNT="2000"))["spec"]["advanced"]["scalingModifiers"]
    assert found == {"formula": "min(depth, allowed * 4000)", "target": "4000", "metricType": "AverageValue"}
    depth = trigger("depth", PENSTOCK_BATCH__COUNT="2000", RABBITMQ_VHOST="music")
    assert depth == {
        "protocol": "http",
        "queueName": "orders",
        "mode": "QueueLength",
        "value": "4000",
        "excludeUnacknowledged": "false",
        "host": "http://rabbitmq:15672",
        "vhostName": "music",
    }


def test_what_prometheus_is_asked_a_worker_tells_from_its_start_on() -> None:
    metrics = Metrics("orders")
    Breaker("db", BreakerSettings(), ManualClock(), metrics)
    metrics.endpoint("db")
    told = {sample.name for family in metrics.registry.collect() for sample in family.samples}
    asked = set(re.findall(r"penstock_\w+", trigger("allowed")["query"]))
    assert asked <= told
    assert "penstock_breaker_state" in asked


def test_a_broken_prometheus_freezes_and_reads_as_nothing_else() -> None:
    assert trigger("allowed")["ignoreNullValues"] == "false"
    # With a fallback KEDA would set a number of replicas of its own.
    assert "fallback" not in scaled_object(deployed())["spec"]


@pytest.mark.parametrize(
    ("variables", "host"),
    [
        ({"RABBITMQ_HOST": "one:5673,two"}, "http://one:15672"),
        ({"RABBITMQ_HOST": "one", "RABBITMQ_TLS": "true"}, "https://one:15671"),
        ({"RABBITMQ_HOST": "[fd00::5]"}, "http://[fd00::5]:15672"),
    ],
)
def test_the_management_api_is_asked_where_the_broker_is(variables: dict[str, str], host: str) -> None:
    assert trigger("depth", **variables)["host"] == host


def test_keda_has_the_worker_s_own_login() -> None:
    found = trigger_authentication(deployed())["spec"]
    assert found["env"] == [{"parameter": "username", "name": "RABBITMQ_USERNAME", "containerName": "worker"}]
    assert found["secretTargetRef"] == [{"parameter": "password", "name": "penstock", "key": "rabbitmq-password"}]


def test_where_the_broker_is_a_url_keda_gets_the_management_api_s_out_of_the_secret() -> None:
    found = deployed(RABBITMQ_URL="amqp://user:hunter2@one/music")
    [reference] = trigger_authentication(found)["spec"]["secretTargetRef"]
    assert reference == {"parameter": "host", "name": "penstock", "key": "rabbitmq-management-url"}
    assert "host" not in trigger("depth", RABBITMQ_URL="amqp://user:hunter2@one/music")
    assert needed_keys(found) == ["rabbitmq-url", "postgres-password", "rabbitmq-management-url"]


@pytest.mark.parametrize(("drain", "period"), [("25", 60), ("300", 310), ("7200", 1800)])
def test_one_that_goes_has_drained_before_the_next_goes(drain: str, period: int) -> None:
    found = scaled_object(deployed(PENSTOCK_LIMITS__DRAIN_SECONDS=drain))["spec"]["advanced"]
    [policy] = found["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]["policies"]
    assert (policy["value"], policy["periodSeconds"]) == (1, period)
