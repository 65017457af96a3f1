"""Failover: the endpoints of a sink in order of preference, and which of them takes the writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog

from penstock.errors import SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.outcome import Outcome
    from penstock.record import Record
    from penstock.settings import Settings
    from penstock.target import Target

log = structlog.get_logger(__name__)


class Failover:
    """Writes to the active one of a sink's endpoints."""

    def __init__(self, targets: Sequence[Target], settings: Settings, *, clock: Clock, metrics: Metrics) -> None:
        self.targets = tuple(targets)
        self.active = self.targets[0]
        self._settings = settings
        self._clock = clock
        self._metrics = metrics

    async def open(self) -> None:
        """Connect and prepare. Raises SinkUnavailable."""
        await self.active.open()
        self._metrics.endpoint_active(self.active.name, active=True)

    async def close(self) -> None:
        """Give back every resource; waits a bounded time."""
        for target in self.targets:
            self._metrics.endpoint_active(target.name, active=False)
            await target.close()

    async def run(self) -> None:
        """Watch over the endpoints that are not active, until cancelled."""

    async def write(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Write the records in one transaction, at the active endpoint. Raises as Target.write does."""
        return await self.active.write(records)

    async def recover(self) -> None:
        """Wait for the probe and send it, until one is answered. Returns half-open: the next write decides."""
        target = self.active
        while target.breaker.state == "open":
            await self._clock.sleep(target.breaker.probe_due_in())
            target.breaker.probing()
            try:
                await self.open()
                await target.ping()
            except SinkUnavailable as error:
                # No warning of its own: the outage warns, at intervals.
                log.info("probe_failed", endpoint=target.name, error=str(error))
                target.breaker.trip(error)

    def reload(self, settings: Settings) -> None:
        """Take new settings."""
        self._settings = settings
        for target in self.targets:
            target.settings = settings
            target.breaker.settings = settings.breaker
