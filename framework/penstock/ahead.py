"""Decodes the deliveries of the next batch while the sink writes the one before."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.batch import Buffer, Full
    from penstock.codec import Codec
    from penstock.delivery import Delivery
    from penstock.outcome import Poison
    from penstock.record import Record

#: Deliveries decoded at a stretch at most, and seconds after which it ends: the sink's answer waits no longer.
STRETCH = 32
STRETCH_SECONDS = 0.0001


class Ahead:
    """What the deliveries at the head of a buffer decode to. They stay there: taking them is the consumer's."""

    def __init__(self, codec: Codec, buffer: Buffer) -> None:
        self._codec = codec
        self._buffer = buffer
        #: Each delivery's record, or why there is none.
        self.decoded: dict[Delivery, Record | Poison] = {}

    @asynccontextmanager
    async def working(self, full: Full) -> AsyncIterator[None]:
        """While the block waits, decode what may be the next batch, as it comes; nothing that may end the process."""
        # What is left here was given back to the broker, or was not taken yet.
        self.decoded.clear()
        work = asyncio.create_task(self._work(full.count, full.byte_size), name="decode ahead")
        try:
            yield
        finally:
            work.cancel()

    async def _work(self, count: int, byte_size: int) -> None:
        size = 0
        while len(self.decoded) < count and size < byte_size:
            if self._buffer.oldest not in self.decoded:  # nothing is decoded yet, or the broker has taken it back
                self.decoded.clear()
                size = 0
            stretch = self._stretch(count, byte_size - size)
            size += stretch
            await (asyncio.sleep(0) if stretch else self._buffer.changed())

    def _stretch(self, count: int, byte_size: int) -> int:
        """Decode some, of so many bytes at most but for the last one; how many bytes they have."""
        size, until = 0, monotonic() + STRETCH_SECONDS
        for delivery in self._buffer.behind(len(self.decoded), min(STRETCH, count - len(self.decoded))):
            if size >= byte_size or delivery.is_suspect:
                break
            self.decoded[delivery] = self._codec.decode(delivery)
            size += max(1, len(delivery.body))
            if monotonic() >= until:
                break
        return size
