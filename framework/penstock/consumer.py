"""The data path, whole: take a batch, decode it, write it, settle it. Read this file first.

    link → buffer          Delivery     settleable before anything is decoded
    codec.decode           Record | Poison
    writer.write           Outcome      one per record, or an outage, in which nothing is settled
    settler.settle         Ack | RetryLater | DeadLetter

While a batch is written the next one is decoded, as far as it is here (ahead.py). A suspect, a delivery that
came back often, is a batch of its own, tried alone and never ahead (suspects.py).
An outage is not an outcome: the batch is held, the consumer paused, the endpoint probed, the same
batch written again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from contextlib import nullcontext
from typing import TYPE_CHECKING

import structlog

from penstock.ahead import Ahead
from penstock.batch_size import BatchSize
from penstock.errors import FuseBlown, SinkUnavailable, SpillFirst
from penstock.link import STOPPING
from penstock.outcome import Duplicate, Poison, Transient
from penstock.record import Record
from penstock.retry import backoff
from penstock.settlement import Decided, RetryLater, settlement_for
from penstock.waiting import until, wait

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.clock import Clock
    from penstock.codec import Codec
    from penstock.delivery import Delivery
    from penstock.fuse import Fuse
    from penstock.link import Link
    from penstock.metrics import Metrics, PauseReason
    from penstock.outcome import Outcome
    from penstock.settings import Settings
    from penstock.settlement import Settler
    from penstock.spill import Spill
    from penstock.writer import Writer

log = structlog.get_logger(__name__)


class Consumer:
    """Carries the deliveries of one queue into one sink, one batch after the other."""

    def __init__(
        self,
        codec: Codec,
        link: Link,
        writer: Writer | Spill,
        settler: Settler,
        *,
        fuse: Fuse,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        #: The deliveries of the batch in hand.
        self.held: Sequence[Delivery] = ()
        #: When it was taken in hand, in seconds of the monotonic clock.
        self._held_at = 0.0
        #: Why the consumer waits, in one line; empty while it works.
        self.trouble = ""
        self._codec = codec
        self._ahead = Ahead(codec, link.buffer)
        self._size = BatchSize(settings.batch)
        self._link = link
        self._writer = writer
        self._settler = settler
        self._suspects = settler.suspects
        self._fuse = fuse
        self._clock = clock
        self._metrics = metrics
        self._stopping = asyncio.Event()
        self._reloaded = asyncio.Event()
        self._given_up = False

    async def run(self) -> None:
        """Work until `stop` has been called and everything held is settled, or cannot be."""
        while not (self._stopping.is_set() and (self._given_up or len(self._link.buffer) == 0)):
            deliveries = await self._link.buffer.take(self._size.full)
            condemned = await self._suspects.begin(deliveries) if deliveries and deliveries[0].redelivered else None
            decoded: list[Record | Poison] = []
            records: list[Record] = []
            poison: list[Poison] = []
            for delivery in deliveries:
                result = condemned or self._ahead.decoded.get(delivery) or self._codec.decode(delivery)
                decoded.append(result)
                if isinstance(result, Record):
                    records.append(result)
                else:
                    poison.append(result)
            at = self._clock.now()
            self.held, self._held_at = deliveries, self._clock.monotonic()
            while self.held:
                started = self._clock.monotonic()
                try:
                    # What kills the process while a suspect is tried is to be the suspect.
                    async with nullcontext() if self._suspects.under_way else self._ahead.working(self._size.full):
                        outcomes = await self._writer.write(records, poison)
                except (SinkUnavailable, FuseBlown) as error:
                    await self._suspects.survived()
                    self.held = deliveries if await self._hold(error) else ()
                else:
                    self._size.written(len(deliveries), self._clock.monotonic() - started)
                    await self._written()
                    await self._settle(decided(deliveries, decoded, outcomes, at))
                    if self._suspects.under_way and not self._given_up:
                        current = self._link.is_current(deliveries[0])
                        await (self._suspects.settled() if current else self._suspects.survived())
                    self.held = ()

    async def stop(self) -> None:
        """Drain: cancel the consumer, then let `run` finish what has arrived."""
        await self._link.pause(STOPPING)
        self._stopping.set()
        self._link.buffer.close()

    def reload(self, settings: Settings) -> None:
        """Take new settings; a blown fuse is tried again at once."""
        self.settings = settings
        self._size.reload(settings.batch)
        self._suspects.settings = settings
        self._reloaded.set()

    # Outages.

    async def _hold(self, error: SinkUnavailable | FuseBlown) -> bool:
        """Pause until the cause is gone. True: write the held batch again. False: it is not ours any more.

        It is not when its channel was lost, when it was held longer than hold_seconds (then it is given
        back), and at the end of the process.
        """
        self.trouble = str(error)
        reason: PauseReason
        match error:
            case FuseBlown():
                reason = "fuse"
                self._metrics.fuse_blown.set(1)
            case SpillFirst():
                reason = "spill"
            case SinkUnavailable():
                reason = "sink"
                self._metrics.fuse_blown.set(0)
        log.error("paused", reason=reason, error=str(error), held=len(self.held))
        await self._link.pause(reason)
        mended = asyncio.create_task(self._fuse_mended() if reason == "fuse" else self._writer.recover())
        stopping = asyncio.create_task(wait(self._stopping))
        lost = asyncio.create_task(self._link.lost(self.held[0]))
        try:
            await asyncio.wait(
                {mended, stopping, lost},
                # Since it was taken: an endpoint that answers each probe and takes no write is away all the time.
                timeout=max(0.0, self._held_at + self.settings.limits.hold_seconds - self._clock.monotonic()),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if mended.done() and not lost.done():
                await mended
                return True
            if not self._stopping.is_set():
                if not lost.done():
                    await self._link.give_back()
                await asyncio.wait({mended, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.is_set():
                self._given_up = True
            else:
                await mended
                await self._written()
            return False
        finally:
            for task in (mended, stopping, lost):
                task.cancel()
            await asyncio.gather(mended, stopping, lost, return_exceptions=True)

    async def _fuse_mended(self) -> None:
        """Wait until the held batch is worth another try: some time has passed, or the settings were read again."""
        self._reloaded.clear()
        breaker = self.settings.breaker
        seconds = self._clock.uniform(breaker.probe_min, max(breaker.probe_min, breaker.probe_max))
        await until(self._reloaded, self._clock, seconds)

    async def _written(self) -> None:
        """The sink takes batches (again): resume if paused."""
        if self.trouble:
            self.trouble = ""
            self._metrics.fuse_blown.set(0)
            await self._link.resume("fuse")
            await self._link.resume("sink")
            await self._link.resume("spill")

    # Settling.

    async def _settle(self, batch: Sequence[Decided]) -> None:
        """Settle a batch; while a dead letter or a retry is not confirmed, hold it and pause."""
        count_outcomes(batch, self._metrics, self._fuse)
        unconfirmed = await self._settler.settle(batch)
        for attempt in itertools.count(1):
            if not unconfirmed:
                break
            self.trouble = not_confirmed(unconfirmed)
            await self._link.pause("dead_letter")
            await until(self._stopping, self._clock, backoff(attempt, self.settings.retry, self._clock))
            if self._stopping.is_set():
                self._given_up = True
                return
            unconfirmed = await self._settler.settle(unconfirmed)
        if "dead_letter" in self._link.paused_for:
            self.trouble = ""
            await self._link.resume("dead_letter")


def decided(
    deliveries: Sequence[Delivery], decoded: Sequence[Record | Poison], outcomes: Sequence[Outcome], at: float
) -> list[Decided]:
    """Join each delivery with its outcome: that of its record, in the records' order, or the Poison it decoded to.

    `at`: when they were taken in hand, in epoch seconds.
    """
    of_records = iter(outcomes)
    return [
        Decided(delivery, next(of_records), result, at)
        if isinstance(result, Record)
        else Decided(delivery, result, None, at)
        for delivery, result in zip(deliveries, decoded, strict=True)
    ]


def count_outcomes(batch: Sequence[Decided], metrics: Metrics, fuse: Fuse) -> None:
    """Count what became of a batch that is about to be settled."""
    counts = Counter(type(one.outcome).__name__ for one in batch)
    for name, amount in counts.items():
        metrics.outcome(name.lower(), amount)
    metrics.duplicates.inc(counts[Duplicate.__name__])
    refused = counts[Poison.__name__]
    if counts[Transient.__name__]:  # what waits in a retry queue is not refused yet
        refused += sum(isinstance(one.outcome, Transient) and one.outcome.delay is None for one in batch)
    fuse.record(refused, len(batch))


def not_confirmed(held: Sequence[Decided]) -> str:
    """Why records are held whose outcome is known: their letter or retry did not arrive."""
    retries = sum(isinstance(settlement_for(one.outcome), RetryLater) for one in held)
    counts = ((len(held) - retries, "dead letters"), (retries, "retries"))
    return f"{' and '.join(f'{amount} {what}' for amount, what in counts if amount)} are not confirmed"
