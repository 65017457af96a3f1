"""A batch loop written by hand on aio-pika: as many messages as there are, executemany, one ack."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import asyncpg
import orjson

from bench.peers.peer import BATCH, PREFETCH, Peer, run, statement

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

#: Seconds a batch that is not full waits for more.
PERIOD = 0.1


async def next_batch(arrived: asyncio.Queue[AbstractIncomingMessage]) -> list[AbstractIncomingMessage]:
    batch = [await arrived.get()]
    try:
        async with asyncio.timeout(PERIOD):
            while len(batch) < BATCH:
                batch.append(arrived.get_nowait() if not arrived.empty() else await arrived.get())
    except TimeoutError:
        return batch
    return batch


async def main(peer: Peer) -> None:
    upsert = statement("upsert.sql")
    connection = await asyncpg.connect(peer.postgres_url)
    await connection.execute(statement("create.sql"))
    arrived: asyncio.Queue[AbstractIncomingMessage] = asyncio.Queue()
    taken = 0
    async with peer.source(PREFETCH) as queue:
        await queue.consume(arrived.put)
        while taken < peer.messages:
            batch = await next_batch(arrived)
            if taken == 0:
                peer.meter.begin()
            rows = [orjson.loads(message.body) for message in batch]
            async with connection.transaction():
                await connection.executemany(
                    upsert, [(row["id"], row["kind"], row["name"], row["amount"], row["note"]) for row in rows]
                )
            await batch[-1].ack(multiple=True)
            taken += len(batch)
        peer.meter.end(taken)
    await connection.close()


if __name__ == "__main__":
    run(main)
