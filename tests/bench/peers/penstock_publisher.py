"""`penstock.Publisher`, as a service uses it: many publishes under way, each confirmed."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from bench import rows
from bench.peers.aio_pika_publish import CALLERS
from bench.peers.peer import Peer, run
from penstock import Publisher

if TYPE_CHECKING:
    from collections.abc import Iterator


async def main(peer: Peer) -> None:
    bodies = iter(list(rows.bodies(peer.messages, int(os.environ["BENCH_BODY_BYTES"]))))
    async with Publisher() as publisher:
        peer.meter.begin()
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(publish(publisher, peer.queue, bodies))
        peer.meter.end(peer.messages)


async def publish(publisher: Publisher, queue: str, bodies: Iterator[bytes]) -> None:
    for body in bodies:
        await publisher.publish("", queue, body)


if __name__ == "__main__":
    run(main)
