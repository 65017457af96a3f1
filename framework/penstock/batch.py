"""Deliveries wait here, are taken as batches, and are collapsed to one record a natural key."""

from __future__ import annotations

import asyncio
import sys
from collections import deque
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from penstock.clock import Clock
    from penstock.delivery import Delivery
    from penstock.record import Record


@dataclass(frozen=True, slots=True)
class Full:
    """When a batch is full: `count` records, `byte_size` bytes of bodies, or `period` seconds after its first."""

    count: int
    byte_size: int
    period: float


class Buffer:
    """What the broker has sent and nobody has taken yet, in order."""

    def __init__(self, clock: Clock) -> None:
        self.byte_size = 0
        #: Deliveries the broker may send ahead: where as many are here there is nothing to wait for.
        self.ahead = sys.maxsize
        self._deliveries: deque[Delivery] = deque()
        self._clock = clock
        self._changed = asyncio.Event()
        self._closed = False

    def __len__(self) -> int:
        return len(self._deliveries)

    @property
    def oldest(self) -> Delivery | None:
        """The delivery that has waited longest."""
        return self._deliveries[0] if self._deliveries else None

    def extend(self, deliveries: Sequence[Delivery]) -> int:
        """Append deliveries and wake the taker; how many bytes their bodies have."""
        self._deliveries.extend(deliveries)
        size = 0
        for delivery in deliveries:
            size += len(delivery.body)
        self.byte_size += size
        self._changed.set()
        return size

    def behind(self, position: int, count: int) -> list[Delivery]:
        """The deliveries that stand behind so many others, at most `count` of them; they stay."""
        return list(islice(self._deliveries, position, position + count))

    async def changed(self) -> None:
        """Return once something has come, or gone otherwise than by `take`; not to be waited for beside `take`."""
        self._changed.clear()
        await self._changed.wait()

    def clear(self) -> None:
        """Forget everything: the channel it came on is gone and the broker sends it again."""
        self._deliveries.clear()
        self.byte_size = 0

    def wake(self) -> None:
        """Make `take` look again; where nothing is left it returns nothing."""
        self._changed.set()

    def close(self) -> None:
        """Nothing more comes: from now on `take` returns at once with what there is, be it nothing."""
        self._closed = True
        self._changed.set()

    async def take(self, full: Full) -> list[Delivery]:
        """The next batch: full by count or bytes, or as it is after `period` seconds from its first delivery.

        On an idle queue, where nothing has come for a period, the first delivery does not wait: it
        leaves at once with whatever came in the same read. Empty when woken with nothing there.
        A suspect is a batch of its own, in its turn.
        """
        if not self._deliveries and not self._closed:
            since = self._clock.monotonic()
            self._changed.clear()
            await self._changed.wait()
            idle = self._clock.monotonic() - since >= full.period
        else:
            idle = False
        if idle:
            await asyncio.sleep(0)
        else:
            await self._fill(full)
        taken: list[Delivery] = []
        size = 0
        while self._deliveries and len(taken) < full.count and size < full.byte_size:
            delivery = self._deliveries[0]
            alone = delivery.redelivered and delivery.is_suspect
            if alone and taken:
                break
            taken.append(self._deliveries.popleft())
            size += len(delivery.body)
            if alone:
                break
        self.byte_size -= size
        return taken

    async def _fill(self, full: Full) -> None:
        """Wait until there is a full batch, or none any more, or `period` has passed, or the buffer is closed."""
        deadline = self._clock.monotonic() + full.period
        while (
            not self._closed
            and self._deliveries
            and len(self._deliveries) < min(full.count, self.ahead)
            and self.byte_size < full.byte_size
            and not (self._deliveries[0].redelivered and self._deliveries[0].is_suspect)
        ):
            self._changed.clear()
            try:
                async with asyncio.timeout(deadline - self._clock.monotonic()):
                    await self._changed.wait()
            except TimeoutError:
                return


def collapse(records: Sequence[Record]) -> list[list[int]]:
    """Group the positions of records by natural key; the last of each group is its carrier, which stands for the rest.

    The carrier is the record with the highest version, else the last one; behind it in the group the
    others stand in the same order, so that the next best is next when the carrier fails.
    """
    groups: dict[Hashable, list[int]] = {}
    for position, record in enumerate(records):
        groups.setdefault(record.natural_key, []).append(position)
    for group in groups.values():
        if len(group) > 1 and all(records[position].version is not None for position in group):
            group.sort(key=lambda position: (records[position].version or 0, position))
    return list(groups.values())
