"""The usual loop: aio-pika's iterator, and for each message one transaction and one ack."""

from __future__ import annotations

import asyncpg
import orjson

from bench.peers.peer import Peer, run, statement

PREFETCH = 200


async def main(peer: Peer) -> None:
    upsert = statement("upsert.sql")
    connection = await asyncpg.connect(peer.postgres_url)
    await connection.execute(statement("create.sql"))
    async with peer.source(PREFETCH) as queue, queue.iterator() as messages:
        taken = 0
        async for message in messages:
            if taken == 0:
                peer.meter.begin()
            async with message.process():
                row = orjson.loads(message.body)
                async with connection.transaction():
                    await connection.execute(upsert, row["id"], row["kind"], row["name"], row["amount"], row["note"])
            taken += 1
            if taken == peer.messages:
                peer.meter.end(taken)
                break
    await connection.close()


if __name__ == "__main__":
    run(main)
