"""What a PostgreSQL server says of its part in replication: primary or standby, on which timeline, waiting for whom."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING

from penstock.errors import BatchError, SinkUnavailable
from penstock.sink import ReplicaState

if TYPE_CHECKING:
    from penstock.stores.postgres import Pool

#: How long the read may take, in seconds.
READ_LIMIT = 5.0

_STATEMENT = (files("penstock.stores") / "postgres_replica.sql").read_text("utf-8")


async def replica_state(pool: Pool) -> ReplicaState:
    """Ask the server over a connection of the pool, within READ_LIMIT seconds. Raises SinkUnavailable.

    Any role may ask. `writable` is false on a standby and wherever our transactions are read-only. `timeline` is
    exact on a primary, right after its promotion too; on a standby it may be lower than the one it follows by now.
    `synchronous` means that a promoted standby has every commit we were told of: standbys are named, and
    `synchronous_commit` of our own role and database is `on` or `remote_apply`. `remote_write` does not count: what a
    standby has only handed to its system is lost if that goes down together with the primary.
    """
    try:
        # In a transaction, because a PgBouncer may give each statement another server connection.
        async with asyncio.timeout(READ_LIMIT), pool.transaction() as connection:
            row = await connection.fetchrow(_STATEMENT)
    except TimeoutError as error:
        raise SinkUnavailable(f"PostgreSQL did not tell what it is within {READ_LIMIT:g} s") from error
    except BatchError as error:
        raise SinkUnavailable(f"PostgreSQL did not tell what it is: {error}") from error
    if row is None:
        raise SinkUnavailable("PostgreSQL answered nothing to the question what it is")
    writable, timeline, synchronous = row
    return ReplicaState(writable=writable, timeline=timeline, synchronous=synchronous)
