"""The ledger gone through and pruned: the table penstock_ledger beside the data, in parts of some pages each."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from penstock.errors import BatchError, SinkUnavailable
from penstock.sink import LedgerPart
from penstock_workers.table.statements import template

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from datetime import datetime

    from penstock.stores.postgres import Connection, Pool

#: Pages of a part: 1 MiB, some 8,000 keys.
PAGES = 128


async def parts(pool: Pool) -> range:
    """The parts that the table has now."""
    async with _transaction(pool) as connection:
        pages: int = await connection.fetchval(template("ledger_pages"))
    return range(-(-pages // PAGES))


async def look(pool: Pool, worker: str, part: int, before: datetime | None) -> LedgerPart:
    """What a part holds of a worker."""
    async with _transaction(pool) as connection:
        found = await connection.fetchrow(template("ledger_part"), worker, *_places(part), before)
    # An aggregate has one row, always.
    keys, oldest, newest = found or (0, None, None)
    return LedgerPart(keys, oldest, newest)


async def prune(pool: Pool, worker: str, part: int, before: datetime) -> int:
    """Remove a worker's keys of a part that were entered before."""
    async with _transaction(pool) as connection:
        removed: int = await connection.fetchval(template("ledger_prune"), worker, *_places(part), before)
    return removed


def _places(part: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where a part begins and where the next one does, as page and place on it."""
    return (part * PAGES, 0), ((part + 1) * PAGES, 0)


@asynccontextmanager
async def _transaction(pool: Pool) -> AsyncIterator[Connection]:
    """No record is written here that could be refused: whatever fails is an outage."""
    try:
        async with pool.transaction() as connection:
            yield connection
    except BatchError as error:
        raise SinkUnavailable(f"the ledger is not to be had now: {error}") from error
