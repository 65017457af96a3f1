"""Write a batch to the sink: one outcome per record, or an outage.

A refused batch is halved until the bad record stands alone, so no record ever pays for its
neighbour. A passing failure is tried again in place. An outage is raised and settles nothing.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from penstock import cancellation
from penstock.batch import collapse
from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.outcome import SUPERSEDED, Outcome, Poison, Transient
from penstock.record import Batch
from penstock.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.breaker import Breaker
    from penstock.clock import Clock
    from penstock.fuse import Fuse
    from penstock.metrics import Metrics
    from penstock.outcome import Refusal
    from penstock.record import Record
    from penstock.settings import Settings
    from penstock.sink import Endpoint, Sink
    from penstock.worker import Mode

log = structlog.get_logger(__name__)

#: Turns a whole batch gets after a Transient failure before it is halved.
BATCH_ATTEMPTS = 3


class Writer:
    """Writes to one endpoint of a sink, through its breaker."""

    def __init__(
        self,
        sink: Sink,
        endpoint: Endpoint,
        mode: Mode,
        settings: Settings,
        *,
        breaker: Breaker,
        fuse: Fuse,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.breaker = breaker
        self.settings = settings
        #: When the sink last took a batch, in epoch seconds.
        self.last_write: float | None = None
        self._sink = sink
        self._endpoint = endpoint
        self._mode = mode
        self._fuse = fuse
        self._clock = clock
        self._metrics = metrics
        self._refused = 0
        self._size = 0

    async def open(self) -> None:
        """Connect on fresh resources and prepare the sink. Raises SinkUnavailable."""
        await self.close()
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self._sink.open(self._endpoint)
            # Not under our limit: the index of a large store takes its time, and the sink has a limit of its own.
            await self._sink.prepare()
        except SinkUnavailable:
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise self._as_outage(error) from error
        self._metrics.endpoint_active(self._endpoint.name, active=True)

    async def close(self) -> None:
        """Give the sink's resources back; waits a bounded time."""
        self._metrics.endpoint_active(self._endpoint.name, active=False)
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self._sink.close()
        except Exception as error:  # noqa: BLE001 a sink that cannot close must not keep the worker from going on
            log.warning("sink_close_failed", endpoint=self._endpoint.name, error=str(error))

    async def recover(self) -> None:
        """Wait for the probe and send it, until one is answered. Returns half-open: the next write decides."""
        while self.breaker.state == "open":
            await self._clock.sleep(self.breaker.probe_due_in())
            self.breaker.probing()
            try:
                await self.open()
                await self._ping()
            except SinkUnavailable as error:
                # No warning of its own: the outage warns, at intervals.
                log.info("probe_failed", endpoint=self._endpoint.name, error=str(error))
                self.breaker.trip(error)

    async def write(self, records: Sequence[Record], refused: Sequence[Poison] = ()) -> list[Outcome]:
        """Write the records of a batch, of which `refused` did not become records. One outcome per record, in order.

        Raises SinkUnavailable once the breaker is open, and FuseBlown; then nothing is to be settled.
        A superseded record is written itself when the one that stood for it is refused.
        """
        outcomes: list[Outcome] = [SUPERSEDED] * len(records)
        self._refused = len(refused)
        self._size = len(records) + len(refused)
        if refused:
            self._fuse.check(self._refused, self._size, refused[-1])
        groups = collapse(records) if self._mode == "upsert" else [[position] for position in range(len(records))]
        while groups:
            batch = [records[group[-1]] for group in groups]
            try:
                results = await self._attempt(batch)
            except BatchError as error:
                results = await self._divide(batch, error)
            for group, outcome in zip(groups, results, strict=True):
                outcomes[group.pop()] = outcome
                if not isinstance(outcome, Poison | Transient):
                    group.clear()
            groups = sorted((group for group in groups if group), key=lambda group: group[-1])
        return outcomes

    async def _attempt(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """One write, repeated only where the connection and not the data failed."""
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                async with asyncio.timeout(self.settings.retry.write_timeout):
                    outcomes = await self._sink.write(Batch(tuple(records)))
            except BatchError:
                self._metrics.write_failed("batch_error")
                self.breaker.success()
                raise
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 what is not classified is an outage
                failures += 1
                await self._failed(self._as_outage(error), failures)
                continue
            if len(outcomes) != len(records):
                broken = SinkUnavailable(f"the sink gave {len(outcomes)} outcomes for {len(records)} records")
                self.breaker.trip(broken)
                raise broken
            self._metrics.write_seconds.observe(self._clock.monotonic() - started)
            self._metrics.batch_size.observe(len(records))
            self.last_write = self._clock.now()
            self._metrics.last_write.set(self.last_write)
            self.breaker.success()
            return outcomes

    def _as_outage(self, error: BaseException) -> SinkUnavailable:
        """What a sink raised, as the outage it means. Raises a cancellation that is ours."""
        match error:
            case SinkUnavailable():
                return error
            case asyncio.CancelledError() if cancellation.is_ours():
                raise error
            case TimeoutError():
                seconds = self.settings.retry.write_timeout
                return ConnectionLost(f"{self._endpoint.name} did not answer within {seconds:g} s")
            case _:
                log.error("sink_error_unclassified", endpoint=self._endpoint.name, exc_info=error)
                return SinkUnavailable(f"unclassified {type(error).__name__}: {error}")

    async def _failed(self, error: SinkUnavailable, failures: int) -> None:
        """After a failed write: make ready for another try, or raise because the breaker is open now."""
        self._metrics.write_failed("unavailable")
        log.warning("write_failed", endpoint=self._endpoint.name, error=str(error), failures=failures)
        self.breaker.failure(error)
        if isinstance(error, ConnectionLost) and failures > 1:
            self.breaker.trip(error)
        if self.breaker.state == "open":
            raise error
        if isinstance(error, ConnectionLost):
            try:
                await self.open()
            except SinkUnavailable as again:
                self.breaker.trip(again)
                raise
        else:
            await self._clock.sleep(backoff(failures, self.settings.retry, self._clock))

    async def _ping(self) -> None:
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self._sink.ping()
        except SinkUnavailable:
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise self._as_outage(error) from error

    async def _divide(self, records: Sequence[Record], error: BatchError) -> list[Outcome]:
        """The outcomes of records that were refused together: again in place if that may help, then in halves.

        Those that fail for a passing reason alone too are tried again all together, so that many of them
        take no longer than one.
        """
        for turn in range(1, BATCH_ATTEMPTS):
            if len(records) == 1 or not isinstance(error.refusal, Transient):
                break
            await self._wait_a_turn(turn, len(records))
            try:
                return list(await self._attempt(records))
            except BatchError as again:
                error = again
        outcomes = await self._halve(records, error)
        for turn in range(1, self.settings.retry.max_attempts):
            waiting = [position for position, outcome in enumerate(outcomes) if isinstance(outcome, Transient)]
            if not waiting:
                break
            await self._wait_a_turn(turn, len(waiting))
            for position in waiting:
                outcomes[position] = await self._alone(records[position])
        given_up = [outcome for outcome in outcomes if isinstance(outcome, Transient)]
        if given_up:
            self._refused += len(given_up)
            self._fuse.check(self._refused, self._size, given_up[-1])
        return outcomes

    async def _halve(self, records: Sequence[Record], error: BatchError) -> list[Outcome]:
        if len(records) == 1:
            return [self._refuse(error.refusal)]
        outcomes: list[Outcome] = []
        for part, refusal in _parts(records, error):
            if refusal is not None:
                outcomes.append(self._refuse(refusal))
                continue
            try:
                outcomes += await self._attempt(part)
            except BatchError as again:
                outcomes += await self._halve(part, again)
        return outcomes

    async def _alone(self, record: Record) -> Outcome:
        try:
            [outcome] = await self._attempt([record])
        except BatchError as error:
            return self._refuse(error.refusal)
        return outcome

    async def _wait_a_turn(self, turn: int, records: int) -> None:
        log.warning("records_retried", records=records, turn=turn)
        await self._clock.sleep(backoff(turn, self.settings.retry, self._clock))

    def _refuse(self, refusal: Refusal) -> Refusal:
        """Count a record that is refused for good; raises FuseBlown when that is one too many."""
        if isinstance(refusal, Poison):
            self._refused += 1
            self._fuse.check(self._refused, self._size, refusal)
        return refusal


def _parts(records: Sequence[Record], error: BatchError) -> list[tuple[Sequence[Record], Poison | None]]:
    """How to go on with a refused batch, in order: named poison settled at once and the runs between; else halves."""
    if isinstance(error.refusal, Poison) and error.positions:
        parts: list[tuple[Sequence[Record], Poison | None]] = []
        start = 0
        for position in sorted(set(error.positions)):
            if position > start:
                parts.append((records[start:position], None))
            parts.append((records[position : position + 1], error.refusal))
            start = position + 1
        return [*parts, (records[start:], None)] if start < len(records) else parts
    middle = len(records) // 2
    return [(records[:middle], None), (records[middle:], None)]
