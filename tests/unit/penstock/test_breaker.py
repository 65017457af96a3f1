"""The breaker as a state machine, on a clock moved by hand."""

from __future__ import annotations

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from penstock.breaker import Breaker
from penstock.metrics import Metrics
from penstock.settings import BreakerSettings
from support.clock import ManualClock

ERROR = ConnectionError("gone")


class BreakerMachine(RuleBasedStateMachine):
    """Any order of successes, failures, trips and probes."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = ManualClock()
        self.metrics = Metrics("w")
        self.breaker = Breaker("primary", BreakerSettings(), self.clock, self.metrics)
        self.in_a_row = 0

    @precondition(lambda self: self.breaker.state != "open")
    @rule()
    def succeed(self) -> None:
        self.breaker.success()
        self.in_a_row = 0
        assert self.breaker.state == "closed"

    @precondition(lambda self: self.breaker.state != "open")
    @rule()
    def fail(self) -> None:
        was = self.breaker.state
        self.breaker.failure(ERROR)
        self.in_a_row += 1
        assert self.breaker.state == ("open" if was == "half_open" or self.in_a_row >= 5 else "closed")

    @rule()
    def trip(self) -> None:
        self.breaker.trip(ERROR)
        assert self.breaker.state == "open"
        assert 30 <= self.breaker.probe_due_in() <= 60

    @precondition(lambda self: self.breaker.state == "open")
    @rule(wait=st.floats(0, 90))
    def probe(self, wait: float) -> None:
        self.clock.time += wait
        if self.breaker.probe_due_in() == 0:
            self.breaker.probing()
            assert self.breaker.state == "half_open"

    @invariant()
    def the_metric_shows_the_state(self) -> None:
        shown = self.metrics.registry.get_sample_value("penstock_breaker_state", {"worker": "w", "endpoint": "primary"})
        assert shown == {"closed": 0, "half_open": 1, "open": 2}[self.breaker.state]


BreakerMachine.TestCase.settings = hypothesis_settings(max_examples=50, stateful_step_count=30)
TestBreaker = BreakerMachine.TestCase
