"""A bare aio-pika publisher, pipelined: many publishes under way, each confirmed."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import aio_pika

from bench import rows
from bench.peers.peer import Peer, run

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aio_pika.abc import AbstractExchange

#: Publishes under way at one time.
CALLERS = 500


async def main(peer: Peer) -> None:
    bodies = iter(list(rows.bodies(peer.messages, int(os.environ["BENCH_BODY_BYTES"]))))
    connection = await aio_pika.connect_robust(peer.broker_url)
    async with connection:
        channel = await connection.channel()
        peer.meter.begin()
        async with asyncio.TaskGroup() as callers:
            for _ in range(CALLERS):
                callers.create_task(publish(channel.default_exchange, peer.queue, bodies))
        peer.meter.end(peer.messages)


async def publish(exchange: AbstractExchange, queue: str, bodies: Iterator[bytes]) -> None:
    for body in bodies:
        message = aio_pika.Message(
            body, content_type="application/json", delivery_mode=aio_pika.DeliveryMode.PERSISTENT
        )
        await exchange.publish(message, queue)


if __name__ == "__main__":
    run(main)
