"""The server's side of a PostgreSQL pool: who is connected, how much room is left, how far its standbys are behind."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from typing import TYPE_CHECKING

from penstock.errors import SinkUnavailable
from penstock.pools import ServerState, StandbyLag

if TYPE_CHECKING:
    from penstock.clock import Clock
    from penstock.stores.postgres import Pool

#: How long the read may take, in seconds.
READ_LIMIT = 5.0
#: Applications shown by name; the connections of the rest are added up.
APPLICATIONS = 20
REST = "others"

_STATEMENT = (files("penstock.stores") / "postgres_server.sql").read_text("utf-8")
_STANDBYS = (files("penstock.stores") / "postgres_standbys.sql").read_text("utf-8")


async def server_state(pool: Pool, clock: Clock) -> ServerState:
    """Ask the server over a connection of the pool, within READ_LIMIT seconds. Raises SinkUnavailable."""
    try:
        # In a transaction, because a PgBouncer may give each statement another server connection.
        async with asyncio.timeout(READ_LIMIT), pool.transaction() as connection:
            started = clock.monotonic()
            rows = await connection.fetch(_STATEMENT)
            seconds = clock.monotonic() - started
            standbys = await connection.fetch(_STANDBYS)
    except TimeoutError as error:
        raise SinkUnavailable(f"PostgreSQL did not tell its connections within {READ_LIMIT:g} s") from error
    connections = {application: count for application, count, _ in rows[:APPLICATIONS]}
    if len(rows) > APPLICATIONS:
        rest = sum(count for _, count, _ in rows[APPLICATIONS:])
        connections[REST] = connections.get(REST, 0) + rest
    lags: dict[str, StandbyLag] = {}
    for name, behind, size in standbys:
        lags.setdefault(name, StandbyLag(behind, size))  # of several of one name, the one furthest behind
    return ServerState(read_seconds=seconds, connections=connections, limit=rows[0][2], standbys=lags)
