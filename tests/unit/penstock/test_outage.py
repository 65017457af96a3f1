"""Outages on a clock moved by hand: what is counted and when it is told."""

from __future__ import annotations

from typing import Any

from structlog.testing import capture_logs

from penstock.metrics import Metrics
from penstock.outage import Outages
from penstock.settings import BreakerSettings
from support.clock import ManualClock

SETTINGS = BreakerSettings(warn_after=300, warn_every=900, flap_within=60)


class Bench:
    """An endpoint's outages, with all that a test looks at."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics("w")
        self.outages = Outages("primary", self.clock, self.metrics)

    def fail(self, after: float = 0, settings: BreakerSettings = SETTINGS) -> None:
        self.clock.time += after
        self.outages.met(ConnectionError("gone"), settings)

    def work(self, after: float = 0) -> None:
        self.clock.time += after
        self.outages.over()

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"penstock_{name}", {"worker": "w", "endpoint": "primary"})


def test_an_outage_is_measured_while_it_lasts_and_added_when_it_ends() -> None:
    bench = Bench()
    assert bench.outages.health() == {"present_seconds": None, "count": 0, "flaps": 0}
    assert [bench.metric(name) for name in ("outages_total", "outage_flaps_total", "outage_seconds_total")] == [0, 0, 0]
    bench.fail()
    bench.clock.time += 12.5
    assert bench.metric("outage_age_seconds") == 12.5
    assert bench.outages.health() == {"present_seconds": 12.5, "count": 1, "flaps": 0}
    bench.fail(after=7.5)
    bench.work(after=10)
    assert bench.metric("outage_age_seconds") == 0
    assert bench.metric("outage_seconds_total") == 30
    assert bench.metric("outages_total") == 1
    bench.work(after=10)
    assert bench.metric("outage_seconds_total") == 30


def test_a_long_outage_warns_once_and_then_at_intervals() -> None:
    bench = Bench()

    def warned(after: float) -> list[Any]:
        with capture_logs() as logs:
            bench.fail(after)
        return [(log["event"], log["log_level"], log["seconds"], log["error"]) for log in logs]

    bench.fail()
    assert warned(299) == []
    assert warned(1) == [("outage_lasts", "warning", 300, "gone")]
    assert warned(899) == []
    assert warned(41) == [("outage_lasts", "warning", 1240, "gone")]
    assert warned(860) == []
    assert warned(40) == [("outage_lasts", "warning", 2140, "gone")]
    bench.work()
    bench.fail(after=1000)
    assert warned(299) == []


def test_an_outage_right_after_the_last_is_a_flap() -> None:
    bench = Bench()
    bench.fail()
    bench.work(after=5)
    with capture_logs() as logs:
        bench.fail(after=59)
    assert [(log["event"], log["flaps"], log["outages"]) for log in logs] == [("endpoint_flaps", 1, 2)]
    bench.work(after=5)
    with capture_logs() as logs:
        bench.fail(after=60)
    assert logs == []
    assert bench.outages.health() == {"present_seconds": 0, "count": 3, "flaps": 1}
    assert bench.metric("outage_flaps_total") == 1


def test_the_very_first_outage_is_no_flap() -> None:
    bench = Bench()
    bench.fail(settings=BreakerSettings(flap_within=1e9))
    assert bench.outages.flaps == 0
