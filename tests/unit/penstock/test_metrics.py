"""Names and labels of metrics are public: dashboards and alerts hold them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, get_args

from penstock.metrics import Metrics, PauseReason
from penstock.pools import PoolWatch
from support.clock import ManualClock
from support.pooled import SERVER, PooledSink

if TYPE_CHECKING:
    from prometheus_client import Metric

#: Name, type and labels beside `worker`. A line may be added; one that is changed or taken away breaks its users.
FROZEN = {
    ("penstock_batch_size", "histogram", ()),
    ("penstock_breaker_opened", "counter", ("endpoint",)),
    ("penstock_breaker_state", "gauge", ("endpoint",)),
    ("penstock_broker_blocked", "gauge", ()),
    ("penstock_broker_connections", "counter", ("broker",)),
    ("penstock_channel_generation", "gauge", ()),
    ("penstock_consumer_rebuilt", "counter", ()),
    ("penstock_consuming", "gauge", ()),
    ("penstock_dead_letter_queue_depth", "gauge", ()),
    ("penstock_dead_lettered", "counter", ("reason",)),
    ("penstock_duplicates_skipped", "counter", ()),
    ("penstock_endpoint_active", "gauge", ("endpoint",)),
    ("penstock_failovers", "counter", ("endpoint",)),
    ("penstock_fuse_blown", "gauge", ()),
    ("penstock_good_probes", "gauge", ("endpoint",)),
    ("penstock_held_bytes", "gauge", ()),
    ("penstock_held_messages", "gauge", ()),
    ("penstock_last_write_timestamp_seconds", "gauge", ()),
    ("penstock_oldest_held_age_seconds", "gauge", ()),
    ("penstock_outage_age_seconds", "gauge", ("endpoint",)),
    ("penstock_outage_flaps", "counter", ("endpoint",)),
    ("penstock_outage_seconds", "counter", ("endpoint",)),
    ("penstock_outages", "counter", ("endpoint",)),
    ("penstock_outcomes", "counter", ("outcome",)),
    ("penstock_paused", "gauge", ("reason",)),
    ("penstock_pauses", "counter", ("reason",)),
    ("penstock_pool_acquire_seconds", "summary", ("endpoint",)),
    ("penstock_pool_connections", "gauge", ("endpoint", "state")),
    ("penstock_pool_limit", "gauge", ("endpoint",)),
    ("penstock_pool_oldest_connection_seconds", "gauge", ("endpoint",)),
    ("penstock_pool_waits", "counter", ("endpoint",)),
    ("penstock_queue_depth", "gauge", ()),
    ("penstock_received_bytes", "counter", ()),
    ("penstock_received_messages", "counter", ()),
    ("penstock_reconciled_records", "counter", ()),
    ("penstock_replication_lag_bytes", "gauge", ("endpoint", "standby")),
    ("penstock_replication_lag_seconds", "gauge", ("endpoint", "standby")),
    ("penstock_settled_messages", "counter", ("settlement",)),
    ("penstock_sink_errors", "counter", ("kind",)),
    ("penstock_sink_write_seconds", "histogram", ()),
    ("penstock_stale_settlements", "counter", ()),
}


def used() -> Metrics:
    """Metrics of which each has a sample."""
    metrics = Metrics("orders")
    metrics.settled("ack", 3)
    metrics.settled("dead_letter")
    metrics.outcome("written", 2)
    metrics.outcome("duplicate")
    metrics.outcome("poison")
    metrics.dead_lettered("not_json")
    metrics.write_failed("unavailable")
    metrics.breaker("primary", "half_open")
    metrics.breaker_opened("primary")
    metrics.outage_age("primary", lambda: 2.5)
    metrics.outage_began("primary", flap=False)
    metrics.outage_ended("primary", 1.5)
    metrics.endpoint_active("primary", active=True)
    metrics.failed_over("primary")
    metrics.good_probes("primary", 2)
    metrics.paused("sink")
    for _ in range(4):
        metrics.received.inc()
    metrics.holds(3, 30)
    metrics.connected("mq:5672")
    watch = PoolWatch(PooledSink(), "primary", ManualClock())
    watch.server = SERVER
    metrics.pools([watch])
    metrics.pauses({"sink"}.__contains__)
    metrics.oldest_age(lambda: 1.5)
    metrics.batch_size.observe(3)
    metrics.write_seconds.observe(0.1)
    return metrics


def families(metrics: Metrics) -> list[Metric]:
    """Those of the worker, without what the process tells of itself."""
    return [family for family in metrics.registry.collect() if not family.name.startswith("process_")]


def described(family: Metric) -> tuple[str, str, tuple[str, ...]]:
    """Name, type and labels of a metric, without those that all of them or all histograms have."""
    labels = {label for sample in family.samples for label in sample.labels}
    assert "worker" in labels
    return family.name, family.type, tuple(sorted(labels - {"worker", "le"}))


def test_no_metric_has_changed_its_name_or_labels() -> None:
    found = {described(family) for family in families(used())}
    assert found >= FROZEN
    assert {name for name, _, _ in found - FROZEN} & {name for name, _, _ in FROZEN} == set()


def test_every_metric_begins_alike_and_says_what_it_is() -> None:
    found = families(used())
    assert all(family.name.startswith("penstock_") for family in found)
    assert all(family.documentation for family in found)


def test_the_process_tells_of_itself() -> None:
    names = {family.name for family in Metrics("orders").registry.collect()}
    assert {"process_start_time_seconds", "process_resident_memory_bytes"} <= names


def test_the_reasons_of_a_pause_are_shown_as_they_are_now() -> None:
    metrics = Metrics("orders")
    present = {"sink"}
    metrics.pauses(present.__contains__)

    def shown() -> set[str]:
        [paused] = [family for family in families(metrics) if family.name == "penstock_paused"]
        assert {sample.labels["reason"] for sample in paused.samples} == set(get_args(PauseReason))
        return {sample.labels["reason"] for sample in paused.samples if sample.value}

    assert shown() == {"sink"}
    present |= {"fuse"}
    assert shown() == {"sink", "fuse"}
    present.clear()
    assert shown() == set()


def test_an_age_that_nobody_knows_is_no_number() -> None:
    metrics = Metrics("orders")
    ages: list[float | None] = [None, 12.5]
    metrics.oldest_age(ages.pop)
    found = [metrics.registry.get_sample_value("penstock_oldest_held_age_seconds", {"worker": "orders"}) for _ in "ab"]
    assert found[0] == 12.5
    assert found[1] is not None
    assert math.isnan(found[1])


def test_two_workers_in_one_process_do_not_mix() -> None:
    one, other = used(), Metrics("other")
    assert one.registry.get_sample_value("penstock_received_messages_total", {"worker": "orders"}) == 4
    assert other.registry.get_sample_value("penstock_received_messages_total", {"worker": "other"}) == 0


def test_the_states_of_a_breaker_are_numbers() -> None:
    metrics = used()
    found = []
    for state in ("closed", "half_open", "open"):
        metrics.breaker("primary", state)
        found.append(
            metrics.registry.get_sample_value("penstock_breaker_state", {"worker": "orders", "endpoint": "primary"})
        )
    assert found == [0, 1, 2]


def test_the_summary_is_what_people_count_by() -> None:
    assert used().summary() == {"received": 4, "written": 2, "duplicate": 1, "superseded": 0, "dead_lettered": 1}
