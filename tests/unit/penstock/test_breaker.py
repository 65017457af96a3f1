"""The breaker as a state machine, on a clock moved by hand."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from structlog.testing import capture_logs

from penstock.breaker import Breaker
from penstock.metrics import Metrics
from penstock.settings import BreakerSettings
from support.clock import ManualClock

ERROR = ConnectionError("gone")
SETTINGS = BreakerSettings(warn_after=100, warn_every=150, flap_within=60)


class BreakerMachine(RuleBasedStateMachine):
    """Any order of successes, failures, trips and probes, with any time between."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.metrics = Metrics("w")
        self.breaker = Breaker("primary", SETTINGS, self.clock, self.metrics)
        self.in_a_row = 0
        #: When each outage began, and when each ended.
        self.began: list[float] = []
        self.ended: list[float] = []
        #: How long the present outage had lasted at each of its warnings.
        self.warned: list[float] = []

    @precondition(lambda self: self.breaker.state != "open")
    @rule()
    def succeed(self) -> None:
        if self.breaker.state == "half_open":
            self.ended.append(self.clock.time)
            self.warned = []
        self.breaker.success()
        self.in_a_row = 0
        assert self.breaker.state == "closed"

    @precondition(lambda self: self.breaker.state != "open")
    @rule()
    def fail(self) -> None:
        was = self.breaker.state
        self.in_a_row += 1
        opens = was == "half_open" or self.in_a_row >= SETTINGS.failures
        with capture_logs() as logs:
            self.breaker.failure(ERROR)
        assert self.breaker.state == ("open" if opens else "closed")
        if opens:
            self.check_opened(was, [log["event"] for log in logs])

    @rule()
    def trip(self) -> None:
        was = self.breaker.state
        with capture_logs() as logs:
            self.breaker.trip(ERROR)
        assert self.breaker.state == "open"
        assert 30 <= self.breaker.probe_due_in() <= 60
        self.check_opened(was, [log["event"] for log in logs])

    @precondition(lambda self: self.breaker.state == "open")
    @rule()
    def probe(self) -> None:
        self.clock.time += self.breaker.probe_due_in()
        assert self.breaker.probe_due_in() == 0
        self.breaker.probing()
        assert self.breaker.state == "half_open"

    @rule(seconds=st.integers(0, 90))
    def wait(self, seconds: int) -> None:
        due, was = self.breaker.probe_due_in(), self.breaker.state
        self.clock.time += seconds
        assert self.breaker.state == was
        assert self.breaker.probe_due_in() == max(0, due - seconds)

    def check_opened(self, was: str, events: list[str]) -> None:
        """An outage begins where the breaker was closed; else it lasts, and is warned of in time and not too often."""
        if was == "closed":
            self.began.append(self.clock.time)
            assert "outage_lasts" not in events
            return
        lasted = self.clock.time - self.began[-1]
        due = self.warned[-1] + SETTINGS.warn_every if self.warned else SETTINGS.warn_after
        assert events.count("outage_lasts") == (lasted >= due)
        if lasted >= due:
            self.warned.append(lasted)

    def metric(self, name: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"penstock_{name}", {"worker": "w", "endpoint": "primary"})

    @invariant()
    def the_metric_shows_the_state(self) -> None:
        assert self.metric("breaker_state") == {"closed": 0, "half_open": 1, "open": 2}[self.breaker.state]

    @invariant()
    def there_is_an_outage_unless_it_is_closed(self) -> None:
        lasts = self.breaker.state != "closed"
        assert len(self.began) == len(self.ended) + lasts
        assert self.metric("outage_age_seconds") == (self.clock.time - self.began[-1] if lasts else 0)

    @invariant()
    def every_outage_and_every_flap_is_counted(self) -> None:
        flaps = sum(began - ended < 60 for ended, began in zip(self.ended, self.began[1:], strict=False))
        lengths = [ended - began for began, ended in zip(self.began, self.ended, strict=False)]
        assert self.metric("outages_total") == len(self.began) == self.breaker.outages.count
        assert self.metric("outage_flaps_total") == flaps == self.breaker.outages.flaps
        assert self.metric("outage_seconds_total") == sum(lengths)


BreakerMachine.TestCase.settings = hypothesis_settings(max_examples=50, stateful_step_count=40)
TestBreaker = BreakerMachine.TestCase
