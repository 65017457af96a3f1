"""Publishes at a steady rate until it is ended: `python -m bench.peers.steady_publisher QUEUE MESSAGES_A_SECOND`."""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
import time

import aiormq

from bench.filling import send
from bench.rows import body
from bench.scale import USUAL_BYTES

#: Seconds between two bursts.
BURST = 0.01


async def main(queue: str, rate: int) -> None:
    numbers = itertools.count()
    sent = 0
    async with await aiormq.connect(os.environ["RABBITMQ_URL"]) as connection:
        channel = await connection.channel(publisher_confirms=False)
        start = time.monotonic()
        while True:
            due = int((time.monotonic() - start) * rate) - sent
            await send(connection, channel, queue, (body(next(numbers), USUAL_BYTES) for _ in range(due)))
            sent += due
            await asyncio.sleep(BURST)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
