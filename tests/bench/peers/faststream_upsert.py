"""FastStream: a subscriber with a pydantic model, and one upsert a message."""

from __future__ import annotations

import asyncio
import logging

import asyncpg
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue

from bench.peers.peer import Peer, run, statement
from bench.rows import Row  # noqa: TC001 - FastStream reads the annotations of a subscriber at run time

PREFETCH = 200


async def leave(_connection: asyncpg.Connection) -> None:
    """One statement leaves nothing behind: without this, the pool would send a second one to clear it away."""


async def main(peer: Peer) -> None:
    upsert = statement("upsert.sql")
    pool = await asyncpg.create_pool(peer.postgres_url, reset=leave)
    await pool.execute(statement("create.sql"))
    # Its log has a line a message, which would be most of what is measured.
    broker = RabbitBroker(peer.broker_url, default_channel=Channel(prefetch_count=PREFETCH), log_level=logging.DEBUG)
    done = asyncio.Event()
    begun = written = 0

    @broker.subscriber(RabbitQueue(peer.queue, durable=True, declare=False))
    async def handle(row: Row) -> None:
        nonlocal begun, written
        if begun == 0:
            peer.meter.begin()
        begun += 1
        await pool.execute(upsert, row.id, row.kind, row.name, row.amount, row.note)
        written += 1
        if written == peer.messages:
            peer.meter.end(written)
            done.set()

    await broker.start()
    await done.wait()
    await broker.stop()
    await pool.close()


if __name__ == "__main__":
    run(main)
