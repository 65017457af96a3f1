"""The circuit breaker of one endpoint: closed, open, half-open. It decides; it never waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import structlog

from penstock.outage import Outages

if TYPE_CHECKING:
    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.settings import BreakerSettings

log = structlog.get_logger(__name__)

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Counts consecutive failures of an endpoint.

    closed → open: after `failures` in a row, or at once by `trip` (a lost connection, met again on a
    fresh pool). open → half-open: `probe_due_in` has passed and one probe is sent. half-open →
    closed: a write succeeded. half-open → open: anything failed.
    """

    def __init__(self, endpoint: str, settings: BreakerSettings, clock: Clock, metrics: Metrics) -> None:
        self.endpoint = endpoint
        self.state: State = "closed"
        self.last_error = ""
        self.settings = settings
        self.outages = Outages(endpoint, clock, metrics)
        self._clock = clock
        self._metrics = metrics
        self._failures = 0
        self._probe_at = 0.0
        metrics.breaker(endpoint, "closed")

    def success(self) -> None:
        """A write succeeded."""
        self._failures = 0
        if self.state != "closed":
            self.last_error = ""
            self._become("closed")
            self.outages.over()

    def failure(self, error: Exception) -> None:
        """A write or probe failed; opens at the limit, or at once when half-open."""
        self._failures += 1
        self.last_error = str(error)
        if self.state == "half_open" or self._failures >= self.settings.failures:
            self.trip(error)

    def trip(self, error: Exception) -> None:
        """Open now; the next probe is due at a random time between probe_min and probe_max seconds from now."""
        self.last_error = str(error)
        self._probe_at = self._clock.monotonic() + self._clock.uniform(
            self.settings.probe_min, max(self.settings.probe_min, self.settings.probe_max)
        )
        if self.state != "open":
            self._metrics.breaker_opened(self.endpoint)
            self._become("open")
        self.outages.met(error, self.settings)

    def probe_due_in(self) -> float:
        """Seconds until the one probe may be sent; 0 when it may be now."""
        return max(0.0, self._probe_at - self._clock.monotonic())

    def probing(self) -> None:
        """The one probe is about to be sent."""
        self._become("half_open")

    def _become(self, state: State) -> None:
        before, self.state = self.state, state
        self._metrics.breaker(self.endpoint, state)
        log.info("breaker_changed", endpoint=self.endpoint, before=before, state=state, error=self.last_error)
