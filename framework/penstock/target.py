"""One endpoint of a sink: its connections, its breaker, its writes, repeated only where the connection failed."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import structlog

from penstock import cancellation
from penstock.errors import BatchError, ConnectionLost, NotEligible, SinkUnavailable
from penstock.pools import PoolWatch
from penstock.record import Batch
from penstock.retry import backoff
from penstock.sink import Warmable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from penstock.breaker import Breaker
    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.outcome import Outcome
    from penstock.record import Record
    from penstock.settings import Settings
    from penstock.sink import Endpoint, Sink

    #: Asked of an endpoint, by its name and its open sink, before anything is written there. Raises NotEligible.
    Admit = Callable[[str, Sink], Awaitable[None]]

log = structlog.get_logger(__name__)


async def admit_any(_name: str, _sink: Sink) -> None:
    """Whatever answers may be written."""


class Target:
    """Writes to one endpoint, through its breaker. `sink` is this endpoint's own, and is asked one thing at a time."""

    def __init__(
        self,
        sink: Sink,
        endpoint: Endpoint,
        settings: Settings,
        *,
        breaker: Breaker,
        clock: Clock,
        metrics: Metrics,
        admit: Admit = admit_any,
    ) -> None:
        self.sink = sink
        self.endpoint = endpoint
        #: What people see of it.
        self.name = endpoint.name
        self.breaker = breaker
        self.settings = settings
        self.pools = PoolWatch(sink, endpoint.name, clock)
        #: How often it has connected.
        self.connects = 0
        #: When it last took a batch, in epoch seconds.
        self.last_write: float | None = None
        self._admit = admit
        self._connected = False
        self._clock = clock
        self._metrics = metrics
        self._turn = asyncio.Lock()

    def health(self, now: float) -> dict[str, Any]:
        """For /health; `now` in epoch seconds."""
        return {
            "name": self.name,
            "region": self.endpoint.region or None,
            "last_write_seconds_ago": None if self.last_write is None else round(now - self.last_write, 3),
            "breaker": {"state": self.breaker.state, "last_error": self.breaker.last_error or None},
            "outages": self.breaker.outages.health(),
            **self.pools.health(),
        }

    async def open(self) -> None:
        """Connect on fresh resources and prepare the sink. Raises SinkUnavailable, NotEligible among them."""
        async with self._turn:
            await self._open()

    async def close(self) -> None:
        """Give the sink's resources back; waits a bounded time."""
        async with self._turn:
            await self._close()

    async def discard(self, connects: int) -> None:
        """As close, unless it has connected since `connects` was read: then they are gone, and these are others."""
        async with self._turn:
            if self.connects == connects:
                await self._close()

    async def ping(self) -> None:
        """Have it answer. Raises SinkUnavailable."""
        async with self._turn:
            await self._ping()

    async def probe(self) -> None:
        """Connect unless it is connected, have it answer and say whether it may be written. Prepares no tables.

        A server that is slow at first is warmed: writes may soon come. Raises SinkUnavailable; the next probe then
        connects anew. Raises NotEligible.
        """
        async with self._turn:
            try:
                if not self._connected:
                    await self._connect()
                await self._ping()
                await self._be_admitted()
                await warm(self.sink, self.name, self.settings.retry.write_timeout)
            except NotEligible:
                raise
            except SinkUnavailable:
                await self._close()
                raise

    async def write(self, records: Sequence[Record], tries: int | None = None) -> Sequence[Outcome]:
        """Write the records in one transaction, repeated only where the connection and not the data failed.

        Returns one outcome a record. Raises BatchError, and SinkUnavailable once the breaker is open: after so
        many `tries`, each but the first on fresh resources; or, with None, as the breaker has it.
        """
        failures = 0
        async with self._turn:
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
                    outage = as_outage(error, self.name, self.settings.retry.write_timeout)
                    await self._failed(outage, failures, tries)
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

    async def _open(self) -> None:
        await self._connect()
        await self._be_admitted()
        # Not under our limit: the index of a large store takes its time, and the sink has a limit of its own.
        async with outages_only(self.name, None):
            await self.sink.prepare()

    async def _connect(self) -> None:
        await self._close()
        self.connects += 1
        async with outages_only(self.name, self.settings.retry.write_timeout):
            await self.sink.open(self.endpoint)
        self._connected = True

    async def _be_admitted(self) -> None:
        async with outages_only(self.name, self.settings.retry.write_timeout):
            await self._admit(self.name, self.sink)

    async def _ping(self) -> None:
        async with outages_only(self.name, self.settings.retry.write_timeout):
            await self.sink.ping()

    async def _close(self) -> None:
        self._connected = False
        try:
            async with asyncio.timeout(self.settings.retry.write_timeout):
                await self.sink.close()
        except Exception as error:  # noqa: BLE001 a sink that cannot close must not keep the worker from going on
            log.warning("sink_close_failed", endpoint=self.name, error=str(error))

    async def _failed(self, error: SinkUnavailable, failures: int, tries: int | None) -> None:
        """After a failed write: make ready for another try, or raise because the breaker is open now."""
        self._metrics.write_failed("unavailable")
        log.warning("write_failed", endpoint=self.name, error=str(error), failures=failures)
        self.breaker.failure(error)
        if (isinstance(error, ConnectionLost) and failures > 1) or failures == tries:
            self.breaker.trip(error)
        if self.breaker.state == "open":
            raise error
        if isinstance(error, ConnectionLost) or tries is not None:
            try:
                await self._open()
            except NotEligible:
                raise
            except SinkUnavailable as again:
                self.breaker.trip(again)
                raise
        else:
            await self._clock.sleep(backoff(failures, self.settings.retry, self._clock))


async def warm(sink: Sink, endpoint: str, seconds: float) -> None:
    """Make an endpoint's server ready for the first write, where its sink knows how. Raises SinkUnavailable."""
    if isinstance(sink, Warmable):
        async with outages_only(endpoint, seconds):
            await sink.warm()


@asynccontextmanager
async def outages_only(endpoint: str, seconds: float | None, *others: type[Exception]) -> AsyncIterator[None]:
    """Raise what goes wrong in the block as SinkUnavailable; `others` and a cancellation that is ours as they are.

    After so many seconds the block is given up and ConnectionLost raised.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except others:
        raise
    except (Exception, asyncio.CancelledError) as error:
        if (outage := as_outage(error, endpoint, seconds)) is error:
            raise
        raise outage from error


def as_outage(error: BaseException, endpoint: str, seconds: float | None) -> SinkUnavailable:
    """What a sink raised, as the outage it means; `seconds` was its time limit. Raises a cancellation that is ours."""
    match error:
        case SinkUnavailable():
            return error
        case asyncio.CancelledError() if cancellation.is_ours():
            raise error
        case TimeoutError():
            limit = "its time limit" if seconds is None else f"{seconds:g} s"
            return ConnectionLost(f"{endpoint} did not answer within {limit}")
        case _:
            log.error("sink_error_unclassified", endpoint=endpoint, exc_info=error)
            return SinkUnavailable(f"unclassified {type(error).__name__}: {error}")
