"""The usual loop into a graph: aio-pika's iterator, and for each record one write of the neo4j driver and one ack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bench.peers.graph_rows import plain, row_of, session
from bench.peers.peer import Peer, run

if TYPE_CHECKING:
    import neo4j

PREFETCH = 200


async def write(transaction: neo4j.AsyncManagedTransaction, statement: str, row: dict[str, Any]) -> None:
    await (await transaction.run(statement, {"rows": [row]})).consume()


async def main(peer: Peer) -> None:
    async with (
        session(peer.neo4j_url) as opened,
        peer.source(PREFETCH) as queue,
        queue.iterator() as messages,
    ):
        taken = 0
        async for message in messages:
            if taken == 0:
                peer.meter.begin()
            async with message.process():
                kind, row = row_of(message.body)
                await opened.execute_write(write, plain(kind), row)
            taken += 1
            if taken == peer.messages:
                peer.meter.end(taken)
                break


if __name__ == "__main__":
    run(main)
