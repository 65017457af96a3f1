"""What a backup took for its primary: nodes beside the data.

(:PenstockTaken {worker, position, payload}) is one record. (:PenstockTaking {worker, last}) counts the positions, and
(:PenstockTaker {worker}) is what those who take them lock: a node of its own, so that nobody who writes waits for it.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING

from penstock import taken
from penstock.errors import SinkUnavailable
from penstock.taken import Entry
from penstock_workers.graph.statements import fill

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from penstock.message import Message
    from penstock.record import Record
    from penstock.stores.neo4j import Pool, Transaction

#: How long messages may be in the taker's hands, in seconds. What a worker that vanished held is free after twice that.
TAKE_LIMIT = 300.0


def constraints() -> Iterator[str]:
    """The statements that make what the others need, on a server that has no keys of its own."""
    yield fill("taken_constraint")
    for label in ("PenstockTaking", "PenstockTaker"):
        yield fill("constraint", name=f"penstock_{label}_worker", label=label, key="worker")


async def enter(transaction: Transaction, worker: str, records: Sequence[Record]) -> None:
    """Enter the records, in this order, in the transaction that wrote them."""
    if records:
        # As text: ArcadeDB takes no bytes.
        payloads = [b64encode(payload).decode() for payload in taken.payloads_of(records)]
        await transaction.run(fill("taken_enter"), {"worker": worker, "payloads": payloads})


def page(pool: Pool, worker: str, limit: int, seconds: float) -> AbstractAsyncContextManager[Sequence[Message]]:
    """The first `limit` messages; each of the two ends takes `seconds` at most, the wait for the lock LOCK_LIMIT.

    ArcadeDB locks nothing: of two who take the same messages, the later one's good end raises SinkUnavailable.
    """

    async def read(transaction: Transaction) -> list[Entry]:
        async with asyncio.timeout(taken.LOCK_LIMIT):
            locked = await transaction.run(fill("taken_lock"), {"worker": worker})
        if not locked:
            return []
        rows = await transaction.run(fill("taken_first"), {"worker": worker, "limit": limit})
        return [Entry(position, b64decode(payload)) for position, payload in rows]

    async def forget(transaction: Transaction, positions: list[int]) -> None:
        [[found]] = await transaction.run(fill("taken_forget"), {"worker": worker, "positions": positions})
        if found < len(positions):
            raise SinkUnavailable(f"another process of {worker} took the same messages, and was faster")

    return taken.page(pool.transaction(TAKE_LIMIT), read, forget, seconds=seconds)
