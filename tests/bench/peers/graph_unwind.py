"""Neo4j alone, the graph's limit: the sink's own Cypher files on prepared rows, a transaction a batch.

With BENCH_PLAIN=1 the statement is the plain one that somebody would write by hand, with no gate before it.
"""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any

from bench import records
from bench.peers.graph_rows import NODES, STATEMENTS, plain, row_of, session
from bench.peers.peer import BATCH, Peer, run

if TYPE_CHECKING:
    import neo4j

#: The rows of a batch by their kind.
Rows = dict[str, list[dict[str, Any]]]


def batches(count: int) -> list[Rows]:
    """The batches the worker would make of the same messages."""
    found: list[Rows] = []
    for number, body in enumerate(records.bodies(count)):
        if number % BATCH == 0:
            found.append(defaultdict(list))
        kind, row = row_of(body)
        found[-1][kind].append(row)
    for batch in found:
        for rows in batch.values():
            rows.sort(key=lambda row: row["id"])
    return found


async def write(transaction: neo4j.AsyncTransaction, batch: Rows, *, gated: bool) -> None:
    for kind in NODES:
        if kind not in batch:
            continue
        if gated:
            rows = [{"id": row["id"], "hash": row["hash"]} for row in batch[kind]]
            await (await transaction.run(STATEMENTS.gate[kind], {"rows": rows})).values()
        statement = STATEMENTS.write[kind] if gated else plain(kind)
        await (await transaction.run(statement, {"rows": batch[kind]})).consume()


async def main(peer: Peer) -> None:
    prepared = batches(peer.messages)
    gated = not os.environ.get("BENCH_PLAIN")
    async with session(peer.neo4j_url) as opened:
        peer.meter.begin()
        for batch in prepared:
            async with await opened.begin_transaction() as transaction:
                await write(transaction, batch, gated=gated)
                await transaction.commit()
        peer.meter.end(peer.messages)


if __name__ == "__main__":
    run(main)
