"""PostgreSQL alone, the table's limit: the table sink's own statement on column arrays that are there already."""

from __future__ import annotations

import hashlib
import os
from typing import Any

import asyncpg

from bench.peers.peer import BATCH, Peer, run
from bench.rows import TABLE, row
from penstock_workers.table.statements import KEPT, create_states, upsert

COLUMNS = (*TABLE.key, *TABLE.other_columns)


def arrays(first: int, last: int, size: int) -> list[list[Any]]:
    """The columns of some records, then what the sink keeps beside them: a hash each, and no version."""
    rows = [row(number, size) for number in range(first, last)]
    hashes = [hashlib.sha256(str(number).encode()).hexdigest() for number in range(first, last)]
    kept = {"hash": hashes}
    return [
        *([one[column] for one in rows] for column in COLUMNS),
        *(kept.get(column, [None] * len(rows)) for column in KEPT),
    ]


async def main(peer: Peer) -> None:
    size = int(os.environ["BENCH_BODY_BYTES"])
    connection = await asyncpg.connect(peer.postgres_url)
    await connection.execute(create_states(TABLE))
    statement = upsert(TABLE, COLUMNS)
    for first in range(0, peer.messages, BATCH):
        prepared = arrays(first, min(first + BATCH, peer.messages), size)
        peer.meter.begin()
        async with connection.transaction():
            await connection.fetch(statement, *prepared)
        peer.meter.pause()
    peer.meter.begin()
    peer.meter.end(peer.messages)
    await connection.close()


if __name__ == "__main__":
    run(main)
