"""Failover: the endpoints of a sink in order of preference, and which of them takes the writes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from penstock.errors import BatchError, NotEligible, SinkUnavailable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.outcome import Outcome
    from penstock.reconcile import Reconciler
    from penstock.record import Record
    from penstock.replicas import Replicas
    from penstock.settings import Settings
    from penstock.target import Target

log = structlog.get_logger(__name__)

#: Tries of a batch at one of several endpoints, the second on fresh connections, before the next endpoint gets it.
TRIES = 2


class Failover:
    """Writes to the active one of a sink's endpoints, the others standing by.

    With `replicas` (mode `replica`) an endpoint takes writes only while it is the primary. With a
    `reconciler` (mode `independent`) the first endpoint is given what the second took before this
    worker goes back to it.
    """

    def __init__(
        self,
        targets: Sequence[Target],
        settings: Settings,
        *,
        clock: Clock,
        metrics: Metrics,
        replicas: Replicas | None = None,
        reconciler: Reconciler | None = None,
    ) -> None:
        self.targets = tuple(targets)
        self.active = self.targets[0]
        self._replicas = replicas
        self._reconciler = reconciler
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        #: Held by whoever writes, or changes where writes go.
        self._turn = asyncio.Lock()
        #: No endpoint takes writes; `recover` looks for one.
        self.away = False
        #: Good probes in a row of endpoints that are preferred to the active one.
        self._good: dict[Target, int] = {}
        #: When an endpoint that answers and is not eligible is asked again, in seconds of the monotonic clock.
        self._ask_at: dict[Target, float] = {}
        self._discarded: set[asyncio.Task[None]] = set()
        #: Why the last reconciliation failed; empty if it did not.
        self._trouble = ""
        for target in self.targets:
            metrics.endpoint(target.name)

    # Starting and ending.

    async def open(self) -> None:
        """Connect to the first endpoint that will do, and prepare it. Raises SinkUnavailable, and SettingsError."""
        if self._replicas is not None:
            # All of them, so that whoever was promoted is known before anything is written.
            await asyncio.gather(*(self._asked(target) for target in self.targets))
            self._replicas.refuse_unsafe()
        errors: dict[Target, SinkUnavailable] = {}
        for target in self.targets:
            try:
                await target.open()
                if target is self.targets[0]:
                    await self._reconcile_at_start()
            except SinkUnavailable as error:
                errors[target] = error
                continue
            for other, why in errors.items():
                self._failed(other, why)
            if target is not self.active:
                self._switch_to(target, "; ".join(map(str, errors.values())))
            self._metrics.endpoint_active(target.name, active=True)
            return
        raise together(list(errors.values()))

    async def close(self) -> None:
        """Give back every resource; waits a bounded time."""
        for target in self.targets:
            self._metrics.endpoint_active(target.name, active=False)
            await target.close()
        if self._reconciler is not None:
            await self._reconciler.close()
        await asyncio.gather(*self._discarded)

    def reload(self, settings: Settings) -> None:
        """Take new settings."""
        self._settings = settings
        for target in self.targets:
            target.settings = settings
            target.breaker.settings = settings.breaker
        if self._reconciler is not None:
            self._reconciler.reload(settings)

    def health(self, now: float) -> list[dict[str, Any]]:
        """Each endpoint for /health, the active one first; `now` in epoch seconds."""
        return [
            {
                **target.health(now),
                "active": target is self.active,
                "role": self._role(target),
                "good_probes": self._good.get(target, 0),
            }
            for target in sorted(self.targets, key=lambda target: target is not self.active)
        ]

    def _role(self, target: Target) -> str | None:
        if self._replicas is not None:
            return self._replicas.role(target.name)
        return "primary" if target is self.targets[0] else "backup"

    # Writing.

    def write(self, records: Sequence[Record]) -> Awaitable[Sequence[Outcome]]:
        """Write the records in one transaction, at the active endpoint or at the next that takes them.

        Raises BatchError; and SinkUnavailable once no endpoint is left: then `recover`.
        """
        # Nothing stands between the writer and a sink's only endpoint.
        return self.active.write(records) if len(self.targets) == 1 else self._write(records)

    async def _write(self, records: Sequence[Record]) -> Sequence[Outcome]:
        async with self._turn:
            try:
                if self._replicas is not None:
                    self._replicas.check(self.active.name)
                return await self.active.write(records, TRIES)
            except SinkUnavailable as error:
                return await self._write_elsewhere(records, error)

    async def _write_elsewhere(self, records: Sequence[Record], error: SinkUnavailable) -> Sequence[Outcome]:
        """Write what the active endpoint did not take at another, which becomes the active one."""
        errors = [error]
        for target in self.targets:
            if target is self.active or (target.breaker.state == "open" and target.breaker.probe_due_in() > 0):
                continue
            try:
                await self._try(target)
                outcomes = await target.write(records, TRIES)
            except BatchError:
                self._switch_to(target, str(error))
                raise
            except SinkUnavailable as again:
                self._failed(target, again)
                errors.append(again)
            else:
                self._switch_to(target, str(error))
                return outcomes
        self.away = True
        raise together(errors) from error

    async def _try(self, target: Target) -> None:
        """Open an endpoint, as the one probe if its breaker is open. Raises SinkUnavailable."""
        if target.breaker.state == "open":
            target.breaker.probing()
        await target.open()

    def _switch_to(self, target: Target, error: str) -> None:
        log.warning("failover", **{"from": self.active.name, "to": target.name}, error=error)
        self._make_active(target)

    def _make_active(self, target: Target) -> None:
        before, self.active = self.active, target
        self.away = False
        self._good.clear()
        self._metrics.endpoint_active(before.name, active=False)
        self._metrics.endpoint_active(target.name, active=True)
        self._metrics.failed_over(target.name)
        # Beside: whoever waits for the new endpoint does not wait for the farewell of the old one.
        closing = asyncio.create_task(before.discard(before.connects), name=f"close {before.name}")
        self._discarded.add(closing)
        closing.add_done_callback(self._discarded.discard)

    def _failed(self, target: Target, error: SinkUnavailable) -> None:
        """An endpoint does not answer, or answers and is not eligible, with which nothing is wrong."""
        self._good[target] = 0
        if isinstance(error, NotEligible):
            self._ask_at[target] = self._clock.monotonic() + self._settings.failover.probe_every
            target.breaker.success()
        else:
            target.breaker.trip(error)

    # All are away.

    async def recover(self) -> None:
        """Wait until an endpoint answers its probe: the next write decides.

        One that is away is probed as its breaker has it; one that answers and is not eligible, every
        `failover.probe_every` seconds.
        """
        while self.away or self.active.breaker.state == "open":
            await self._clock.sleep(min(map(self._due_in, self.targets)))
            for target in self.targets:
                if self._due_in(target) == 0 and await self._revived(target):
                    return

    def _due_in(self, target: Target) -> float:
        if target.breaker.state == "open":
            return target.breaker.probe_due_in()
        return max(0.0, self._ask_at.get(target, 0.0) - self._clock.monotonic())

    async def _revived(self, target: Target) -> bool:
        """Probe an endpoint; whether one takes writes now."""
        async with self._turn:
            if not self.away and self.active.breaker.state != "open":
                return True  # by the probes beside
            try:
                await self._try(target)
                await target.ping()
            except SinkUnavailable as error:
                # No warning of its own: the outage warns, at intervals.
                log.info("probe_failed", endpoint=target.name, error=str(error))
                self._failed(target, error)
                return False
            if target is not self.active:
                if self._reconciler is not None and target is self.targets[0]:
                    # The backup takes nothing either: what it holds is brought over now or when it answers again.
                    await self._brought(self._reconciler.reconcile)
                self._switch_to(target, self.active.breaker.last_error)
            self.away = False
            return True

    # Beside the writes.

    async def run(self) -> None:
        """Watch over the endpoints that are not active, and over the pools of all, until cancelled."""
        async with asyncio.TaskGroup() as watches:
            for target in self.targets:
                watches.create_task(self._watch(target), name=f"watch {target.name}")
                watches.create_task(target.pools.run(), name=f"pool {target.name}")

    async def _watch(self, target: Target) -> None:
        while True:
            await self._clock.sleep(self._settings.failover.probe_every)
            await self.look(target)

    async def look(self, target: Target) -> None:
        """Look once at an endpoint that is not active, and do what follows: return to it, or fetch what it took."""
        if target is self.active or self.away:
            self._good[target] = 0
        elif self._is_preferred(target) or self._replicas is not None:
            await self._probe(target)
        elif self._reconciler is not None:
            try:
                await self._reconciler.open()
            except SinkUnavailable as error:
                self._failed(target, error)
            else:
                target.breaker.success()
                await self._brought(self._reconciler.reconcile)

    def _is_preferred(self, target: Target) -> bool:
        return self.targets.index(target) < self.targets.index(self.active)

    async def _probe(self, target: Target) -> None:
        """One probe; the last of enough good ones in a row returns the writes to a preferred endpoint."""
        try:
            await target.probe()
        except SinkUnavailable as error:
            self._failed(target, error)
        else:
            if target.breaker.state == "open":
                target.breaker.probing()
            self._good[target] = self._good.get(target, 0) + 1
            if self._reconciler is not None and self._good[target] == 1 < self._settings.failover.return_after:
                # What it lacks is brought while it is probed further, so that the return takes less.
                await self._made_ready(target)
        good = self._good[target]
        self._metrics.good_probes(target.name, good)
        if good >= self._settings.failover.return_after and self._is_preferred(target):
            log.info("returning", endpoint=target.name, good_probes=good)
            await self._return_to(target)

    async def _return_to(self, target: Target) -> None:
        """Make a preferred endpoint the active one, between two writes; in mode `independent` with all that is its."""
        if not await self._made_ready(target):
            return
        async with self._turn:
            if self.away or not self._is_preferred(target):
                return  # a write was faster, or has found all of them away
            if self._reconciler is not None and not await self._brought(self._reconciler.reconcile):
                self._good[target] = 0
                return
            log.info("failed_back", **{"from": self.active.name, "to": target.name})
            self._make_active(target)

    async def _made_ready(self, target: Target) -> bool:
        """Open an endpoint; in mode `independent` give it all but the newest of what is its. Whether that worked."""
        try:
            await target.open()
        except SinkUnavailable as error:
            self._failed(target, error)
            return False
        if self._reconciler is not None and not await self._brought(self._reconciler.catch_up):
            self._good[target] = 0
            return False
        return True

    async def _asked(self, target: Target) -> None:
        try:
            await target.probe()
        except SinkUnavailable as error:
            log.info("endpoint_not_eligible", endpoint=target.name, error=str(error))

    async def _reconcile_at_start(self) -> None:
        """Have the primary given what is its, if the backup answers. Raises NotEligible where that fails."""
        if self._reconciler is None:
            return
        try:
            await self._reconciler.open()
        except SinkUnavailable as error:
            self._failed(self.targets[1], error)
        else:
            if not await self._brought(self._reconciler.reconcile):
                raise NotEligible(self._trouble)

    async def _brought(self, bring: Callable[[], Awaitable[None]]) -> bool:
        """Whether the primary was given what the backup took."""
        try:
            await bring()
        except SinkUnavailable as error:
            if str(error) != self._trouble:
                log.warning("reconciliation_failed", error=str(error))
            self._trouble = str(error)
            return False
        self._trouble = ""
        return True


def together(errors: Sequence[SinkUnavailable]) -> SinkUnavailable:
    """One error for those of several endpoints."""
    return errors[0] if len(errors) == 1 else SinkUnavailable("; ".join(dict.fromkeys(map(str, errors))))
