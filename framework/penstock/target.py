"""One endpoint of a sink: its connections, its breaker, its writes, repeated only where the connection failed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import structlog

from penstock import cancellation
from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.record import Batch
from penstock.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.breaker import Breaker
    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.outcome import Outcome
    from penstock.record import Record
    from penstock.settings import Settings
    from penstock.sink import Endpoint, Sink

log = structlog.get_logger(__name__)


class Target:
    """Writes to one endpoint, through its breaker. `sink` is this endpoint's own."""

    def __init__(
        self,
        sink: Sink,
        endpoint: Endpoint,
        settings: Settings,
        *,
        breaker: Breaker,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.sink = sink
        self.endpoint = endpoint
        self.breaker = breaker
        self.settings = settings
        #: When it last took a batch, in epoch seconds.
        self.last_write: float | None = None
        self._clock = clock
        self._metrics = metrics

    @property
    def name(self) -> str:
        """What people see."""
        return self.endpoint.name

    async def open(self) -> None:
        """Connect on fresh resources and prepare the sink. Raises SinkUnavailable."""
        await self.close()
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self.sink.open(self.endpoint)
            # Not under our limit: the index of a large store takes its time, and the sink has a limit of its own.
            await self.sink.prepare()
        except SinkUnavailable:
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise self._as_outage(error) from error

    async def close(self) -> None:
        """Give the sink's resources back; waits a bounded time."""
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self.sink.close()
        except Exception as error:  # noqa: BLE001 a sink that cannot close must not keep the worker from going on
            log.warning("sink_close_failed", endpoint=self.name, error=str(error))

    async def ping(self) -> None:
        """Have it answer. Raises SinkUnavailable."""
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self.sink.ping()
        except SinkUnavailable:
            raise
        except (Exception, asyncio.CancelledError) as error:
            raise self._as_outage(error) from error

    async def write(self, records: Sequence[Record]) -> Sequence[Outcome]:
        """Write the records in one transaction, repeated only where the connection and not the data failed.

        Returns one outcome a record. Raises BatchError, and SinkUnavailable once the breaker is open.
        """
        failures = 0
        while True:
            started = self._clock.monotonic()
            try:
                async with asyncio.timeout(self.settings.retry.write_timeout):
                    outcomes = await self.sink.write(Batch(tuple(records)))
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
                return ConnectionLost(f"{self.name} did not answer within {seconds:g} s")
            case _:
                log.error("sink_error_unclassified", endpoint=self.name, exc_info=error)
                return SinkUnavailable(f"unclassified {type(error).__name__}: {error}")

    async def _failed(self, error: SinkUnavailable, failures: int) -> None:
        """After a failed write: make ready for another try, or raise because the breaker is open now."""
        self._metrics.write_failed("unavailable")
        log.warning("write_failed", endpoint=self.name, error=str(error), failures=failures)
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
