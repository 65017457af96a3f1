"""Decodes the deliveries of the next batch while the sink writes the one before."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.batch import Buffer
    from penstock.codec import Codec
    from penstock.delivery import Delivery
    from penstock.outcome import Poison
    from penstock.record import Record

#: Deliveries decoded at a stretch, some tenths of a millisecond: the sink's answer waits no longer for its turn.
STRETCH = 32


class Ahead:
    """What the deliveries at the head of a buffer decode to. They stay there: taking them is the consumer's."""

    def __init__(self, codec: Codec, buffer: Buffer) -> None:
        self._codec = codec
        self._buffer = buffer
        #: Each delivery's record, or why there is none.
        self.decoded: dict[Delivery, Record | Poison] = {}

    @asynccontextmanager
    async def working(self, count: int) -> AsyncIterator[None]:
        """While the block waits, decode so many deliveries, as they come; none that may end the process."""
        # What is left here was given back to the broker, or was not taken yet.
        self.decoded.clear()
        work = asyncio.create_task(self._work(count), name="decode ahead")
        try:
            yield
        finally:
            work.cancel()

    async def _work(self, count: int) -> None:
        while len(self.decoded) < count:
            waiting = [one for one in self._buffer.first(count) if one not in self.decoded]
            for delivery in waiting[:STRETCH]:
                self.decoded[delivery] = self._codec.decode(delivery)
            await (self._buffer.changed() if len(waiting) <= STRETCH else asyncio.sleep(0))
