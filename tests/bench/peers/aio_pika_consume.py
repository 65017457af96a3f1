"""Raw aio-pika: `queue.consume` with no work at all, one ack for many messages."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bench.peers.peer import PREFETCH, Peer, run

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

#: Messages an ack stands for: the broker sends more before the prefetch is used up.
EACH = PREFETCH // 4


async def main(peer: Peer) -> None:
    done = asyncio.Event()
    taken = 0

    async def take(message: AbstractIncomingMessage) -> None:
        nonlocal taken
        if taken == 0:
            peer.meter.begin()
        taken += 1
        if taken % EACH == 0 or taken == peer.messages:
            await message.ack(multiple=True)
        if taken == peer.messages:
            peer.meter.end(taken)
            done.set()

    async with peer.source(PREFETCH) as queue:
        await queue.consume(take)
        await done.wait()


if __name__ == "__main__":
    run(main)
