"""What leaves the spill, page by page: to the sink, by the worker's own writer, or back to the worker's queue."""

from __future__ import annotations

import asyncio
import itertools
from typing import TYPE_CHECKING

import structlog

from penstock.consumer import count_outcomes, decided, not_confirmed
from penstock.kept import delivery_of
from penstock.outcome import Poison
from penstock.publish_link import WINDOW, failures_of
from penstock.record import Record
from penstock.retry import backoff
from penstock.settlement import Ack, DeadLetter, RetryLater, settlement_for

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.clock import Clock
    from penstock.codec import Codec
    from penstock.fuse import Fuse
    from penstock.metrics import Metrics
    from penstock.publish_link import PublishLink
    from penstock.settings import Settings
    from penstock.settlement import Decided, Settler
    from penstock.spill_store import Kept, SpillStore
    from penstock.writer import Writer

log = structlog.get_logger(__name__)

#: A record that is to go to another queue: where it is in the spill, what was decided, and where it goes.
Leaving = tuple[int, "Decided", DeadLetter | RetryLater]


class SpillDrain:
    """Writes what waits in a spill with the worker's writer, and removes it once it is settled."""

    def __init__(
        self,
        codec: Codec,
        writer: Writer,
        settler: Settler,
        *,
        fuse: Fuse,
        settings: Settings,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self.settings = settings
        #: What a page waits for that is written already; empty while it waits for nothing.
        self.trouble = ""
        self._codec = codec
        self.writer = writer
        self._settler = settler
        self.fuse = fuse
        self._clock = clock
        self.metrics = metrics

    async def page(self, store: SpillStore) -> None:
        """Write the first records, as a batch, and settle them: none is removed before it is done with.

        Waits for the broker while a dead letter or a retry is not confirmed. Raises SinkUnavailable and FuseBlown,
        after which all of the page is still there, and JournalError.
        """
        batch = self.settings.batch
        page = await store.page(batch.count, batch.byte_size)
        deliveries = [delivery_of(kept.message) for kept in page]
        decoded = [self._codec.decode(delivery) for delivery in deliveries]
        records = [one for one in decoded if isinstance(one, Record)]
        poison = [one for one in decoded if isinstance(one, Poison)]
        at = self._clock.now()
        outcomes = await self.writer.write(records, poison)
        await self._settle(store, page, decided(deliveries, decoded, outcomes, at))

    async def _settle(self, store: SpillStore, page: Sequence[Kept], batch: Sequence[Decided]) -> None:
        count_outcomes(batch, self.metrics, self.fuse)
        done: list[int] = []
        leaving: list[Leaving] = []
        for kept, one in zip(page, batch, strict=True):
            match settlement_for(one.outcome):
                case Ack():
                    done.append(kept.position)
                case DeadLetter() | RetryLater() as settlement:
                    leaving.append((kept.position, one, settlement))
        await self._remove(store, done)
        try:
            for attempt in itertools.count(1):
                leaving = await self._publish(store, leaving)
                if not leaving:
                    return
                self.trouble = not_confirmed([one for _, one, _ in leaving])
                await self._clock.sleep(backoff(attempt, self.settings.retry, self._clock))
        finally:
            self.trouble = ""

    async def _publish(self, store: SpillStore, leaving: Sequence[Leaving]) -> list[Leaving]:
        """Publish dead letters and retries; those that were not confirmed."""
        confirmed = await asyncio.gather(*(self._settler.hand_over(one, settlement) for _, one, settlement in leaving))
        await self._remove(store, [one[0] for one, there in zip(leaving, confirmed, strict=True) if there])
        return [one for one, there in zip(leaving, confirmed, strict=True) if not there]

    async def _remove(self, store: SpillStore, positions: Sequence[int]) -> None:
        if positions:
            await store.remove(positions)
            self.metrics.spill_drained.inc(len(positions))


async def publish_page(store: SpillStore, publisher: PublishLink, queue: str, byte_size: int) -> int:
    """Publish the first records back to a queue, all under way together, and remove what was confirmed; how many.

    Raises LinkError for the first that was not, after that.
    """
    page = await store.page(WINDOW, byte_size)
    messages = (kept.message for kept in page)
    failures = await failures_of(publisher.publish("", queue, one.body, one.decoded()) for one in messages)
    confirmed = [kept.position for kept, failure in zip(page, failures, strict=True) if failure is None]
    if confirmed:
        await store.remove(confirmed)
    for failure in failures:
        if failure is not None:
            raise failure
    return len(confirmed)
