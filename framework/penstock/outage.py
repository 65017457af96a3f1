"""The outages of one endpoint: how long, how many, how often it came back only to fail again; told in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import structlog

if TYPE_CHECKING:
    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.settings import BreakerSettings

log = structlog.get_logger(__name__)


class Outages:
    """Counts an endpoint's outages and warns of the long ones. It decides; it never waits.

    An outage begins when the breaker opens and ends with the write that closes it; what fails in
    between belongs to it. One that begins within `flap_within` seconds of the last one's end is a flap.
    """

    def __init__(self, endpoint: str, clock: Clock, metrics: Metrics) -> None:
        self.count = 0
        self.flaps = 0
        self._endpoint = endpoint
        self._clock = clock
        self._metrics = metrics
        self._since: float | None = None
        self._ended: float | None = None
        #: Length of the present outage, in seconds, from which on the next warning is due.
        self._warn_at = 0.0
        metrics.outage_age(endpoint, lambda: self.seconds)

    @property
    def seconds(self) -> float:
        """How long the present outage has lasted, in seconds; 0 when there is none."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    def met(self, error: Exception, settings: BreakerSettings) -> None:
        """The endpoint has failed, and its breaker is open: begin an outage, or warn of the one that lasts."""
        if self._since is None:
            self._begin(settings)
        elif (seconds := self.seconds) >= self._warn_at:
            self._warn_at = seconds + settings.warn_every
            log.warning("outage_lasts", endpoint=self._endpoint, seconds=round(seconds), error=str(error))

    def over(self) -> None:
        """The endpoint took a write: end the outage, if there is one."""
        if self._since is None:
            return
        seconds = self.seconds
        self._since, self._ended = None, self._clock.monotonic()
        self._metrics.outage_ended(self._endpoint, seconds)
        log.info("outage_ended", endpoint=self._endpoint, seconds=round(seconds, 3))

    def health(self) -> dict[str, Any]:
        """For /health. `present_seconds` is None without an outage."""
        return {
            "present_seconds": None if self._since is None else round(self.seconds, 3),
            "count": self.count,
            "flaps": self.flaps,
        }

    def _begin(self, settings: BreakerSettings) -> None:
        now = self._clock.monotonic()
        flap = self._ended is not None and now - self._ended < settings.flap_within
        self.count += 1
        self.flaps += flap
        self._since = now
        self._warn_at = settings.warn_after
        self._metrics.outage_began(self._endpoint, flap=flap)
        if flap:
            log.warning("endpoint_flaps", endpoint=self._endpoint, flaps=self.flaps, outages=self.count)
