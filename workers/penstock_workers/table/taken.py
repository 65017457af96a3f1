"""What a backup took for its primary: the table penstock_taken beside the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock import taken
from penstock.taken import Entry
from penstock_workers.table.statements import template

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager

    from penstock.message import Message
    from penstock.record import Record
    from penstock.stores.postgres import Connection, Pool

TABLE = "penstock_taken"
#: How long the block may last, in which the primary is written, in seconds.
TAKE_LIMIT = 300.0


async def enter(connection: Connection, worker: str, records: Sequence[Record]) -> None:
    """Enter the records, in this order, in the transaction that wrote them."""
    if records:
        await connection.execute(template("taken_enter"), worker, taken.payloads_of(records))


def page(pool: Pool, worker: str, limit: int, seconds: float) -> AbstractAsyncContextManager[Sequence[Message]]:
    """The first `limit` messages; each of the two ends takes `seconds` at most, the wait for the lock LOCK_LIMIT."""

    async def read(connection: Connection) -> list[Entry]:
        milliseconds = str(round(taken.LOCK_LIMIT * 1000))
        # Where there is nothing, which is the rule, there is nothing to lock either.
        if await connection.fetchval(template("taken_wait"), worker, milliseconds) is None:
            return []
        await connection.execute(template("taken_lock"), worker)
        return [Entry(*row) for row in await connection.fetch(template("taken_first"), worker, limit)]

    async def forget(connection: Connection, positions: list[int]) -> None:
        await connection.execute(template("taken_forget"), worker, positions)

    return taken.page(pool.transaction(TAKE_LIMIT), read, forget, seconds=seconds)
