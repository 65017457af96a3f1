"""Mode `independent`: what the backup took is brought to the primary, each record once, and then forgotten there."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Protocol

import structlog

from penstock.consumer import decided
from penstock.errors import FuseBlown, LinkError, SinkUnavailable
from penstock.failover import Failover
from penstock.fuse import Fuse
from penstock.kept import delivery_of
from penstock.ladder import ladder_of
from penstock.outcome import Poison
from penstock.record import Record
from penstock.settlement import Ack, DeadLetter, RetryLater, settlement_for
from penstock.sink import Reconcilable, Sink
from penstock.target import outages_only, warm
from penstock.writer import Writer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.clock import Clock
    from penstock.codec import Codec
    from penstock.handover import Handover
    from penstock.message import Message
    from penstock.metrics import Metrics
    from penstock.settings import Settings
    from penstock.target import Target
    from penstock.worker import Worker

log = structlog.get_logger(__name__)

#: Messages of the first page; the next is twice as large while that is still no more than a batch.
FIRST_PAGE = 32
#: How long the backup may go on taking records while those it took are brought over, in seconds.
CATCH_UP_SECONDS = 300.0


class Source(Sink, Reconcilable, Protocol):
    """A sink that tells what it took."""


class Reconciler:
    """Brings what the second of two targets took to the first. `source` is another sink for the second."""

    def __init__(
        self,
        worker: Worker,
        source: Source,
        targets: tuple[Target, Target],
        *,
        codec: Codec,
        handover: Handover,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._source = source
        self._primary, backup = targets
        self._backup = backup.endpoint
        self._codec = codec
        self._handover = handover
        self._settings = settings
        self._clock = clock
        self._metrics = metrics
        self._fuse = Fuse(settings.fuse)
        only = Failover((self._primary,), settings, clock=clock, metrics=metrics)
        ladder = ladder_of(worker, settings.retry)
        self._writer = Writer(only, worker.mode, settings, fuse=self._fuse, clock=clock, ladder=ladder)
        self._opened = False
        self._page_size = min(FIRST_PAGE, settings.batch.count)
        self._moved = 0
        #: Messages of the page in hand that are in the DLQ or a retry queue, each as often as it is there: a page that
        #: fails after that comes again, and they are not to be sent again with it.
        self._handed_over: Counter[Message] = Counter()
        self._turn = asyncio.Lock()

    async def open(self) -> None:
        """Connect to the backup unless connected. Raises SinkUnavailable: it does not answer."""
        async with self._turn:
            await self._open()

    async def close(self) -> None:
        """Give back the connections to the backup."""
        self._opened = False
        try:
            async with outages_only(self._backup.name, self._settings.retry.write_timeout):
                await self._source.close()
        except SinkUnavailable as error:
            log.warning("sink_close_failed", endpoint=self._backup.name, error=str(error))

    async def catch_up(self) -> None:
        """Bring over all but the newest, while the backup goes on taking. Raises as `reconcile` does."""
        until = self._clock.monotonic() + CATCH_UP_SECONDS
        async with self._turn:
            while self._clock.monotonic() < until:
                size = self._page_size
                if await self._page() < size:
                    return

    async def reconcile(self) -> None:
        """Bring over all that the backup took. Raises SinkUnavailable; what was not brought stays in the backup.

        A record that the primary refuses for good goes to the worker's DLQ.
        """
        async with self._turn:
            while await self._page():
                pass
            if self._moved:
                log.info("reconciled", backup=self._backup.name, primary=self._primary.name, records=self._moved)
                self._moved = 0

    def reload(self, settings: Settings) -> None:
        """Take new settings."""
        self._settings = settings
        self._writer.settings = settings
        if self._writer.ladder is not None:
            self._writer.ladder.max_attempts = settings.retry.max_attempts
        self._fuse.settings = settings.fuse

    async def _open(self) -> None:
        if not self._opened:
            async with outages_only(self._backup.name, self._settings.retry.write_timeout):
                await self._source.open(self._backup)
            async with outages_only(self._backup.name, None):
                await self._source.prepare()
            # It may have to take the writes at any moment.
            await warm(self._source, self._backup.name, self._settings.retry.write_timeout)
            self._opened = True

    async def _page(self) -> int:
        """Bring over the oldest of what is left; how many that were. They are forgotten once the primary has them."""
        try:
            await self._open()
            async with (
                outages_only(self._backup.name, None, FuseBlown, LinkError),
                self._source.taken(self._page_size) as messages,
            ):
                if messages:
                    await self._write(messages)
        except (SinkUnavailable, FuseBlown, LinkError) as error:
            await self.close()
            text = f"what {self._backup.name} took cannot be brought to {self._primary.name} now: {error}"
            raise SinkUnavailable(text) from error
        self._handed_over.clear()
        self._moved += len(messages)
        self._metrics.reconciled.inc(len(messages))
        self._size_next(messages)
        return len(messages)

    async def _write(self, messages: Sequence[Message]) -> None:
        """Have each message in the primary, the DLQ or a retry queue. Raises SinkUnavailable, FuseBlown, LinkError."""
        if not self._moved:
            log.warning("reconciling", backup=self._backup.name, primary=self._primary.name)
        deliveries = [delivery_of(message) for message in messages]
        decoded = [self._codec.decode(delivery) for delivery in deliveries]
        records = [result for result in decoded if isinstance(result, Record)]
        poison = [result for result in decoded if isinstance(result, Poison)]
        at = self._clock.now()
        outcomes = await self._writer.write(records, poison)
        refused = 0
        # Those that are here no more: another process has brought them over meanwhile.
        self._handed_over &= Counter(messages)
        before = self._handed_over.copy()
        for message, one in zip(messages, decided(deliveries, decoded, outcomes, at), strict=True):
            match settlement_for(one.outcome):
                case Ack():
                    continue
                case DeadLetter() | RetryLater() as settlement:
                    refused += isinstance(settlement, DeadLetter)
            if before[message]:
                before[message] -= 1
                continue
            await self._handover.publish(one, settlement)
            self._handed_over[message] += 1
        self._fuse.record(refused, len(messages))

    def _size_next(self, messages: Sequence[Message]) -> None:
        """Pages grow to a batch, and shrink where the bodies are large: all of a page is in memory."""
        batch = self._settings.batch
        if 2 * sum(len(message.body) for message in messages) > batch.byte_size:
            self._page_size = max(1, self._page_size // 2)
        elif len(messages) == self._page_size:
            self._page_size = min(batch.count, 2 * self._page_size)
