"""The table sink behind a PgBouncer in transaction mode, which gives each transaction any server connection."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING

import pytest

from penstock.drill.servers.pgbouncer import SERVER_CONNECTIONS
from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.sink import Endpoint
from penstock.testing import make_batch, make_record
from penstock_workers.table.row import TableRow
from support.tables import ARTISTS, PLAYS, Database, artist

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.drill.servers import Server
    from penstock_workers.table.sink import TableSink
    from support.tables import Connection

#: More than there are server connections, so that each writer gets those of others.
WRITERS = 3 * SERVER_CONNECTIONS
ROUNDS = 10


@pytest.fixture
def behind(pgbouncer_url: str, database: Database) -> Database:
    """The test's database by way of PgBouncer; `look` goes past it."""
    return Database(pgbouncer_url, database.look)


async def _server_connections(look: Connection) -> int:
    return int(
        await look.fetchval(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    )


async def _write_all(sinks: Sequence[TableSink]) -> None:
    for number in range(ROUNDS):
        await asyncio.gather(*(sink.write(make_batch(artist(f"{number}"))) for sink in sinks))


async def test_many_writers_share_few_server_connections_and_each_effect_is_there_once(behind: Database) -> None:
    async with AsyncExitStack() as stack:
        sinks = [await stack.enter_async_context(behind.open(ARTISTS, statement_cache_size=0)) for _ in range(WRITERS)]
        for number in range(ROUNDS):
            batches = [make_batch(*(artist(f"{writer}-{number}-{n}") for n in range(5))) for writer in range(WRITERS)]
            written = await asyncio.gather(*(sink.write(b) for sink, b in zip(sinks, batches, strict=True)))
            assert written == [[WRITTEN] * 5] * WRITERS
            # Another writer, on whatever connection it is given, finds what this one wrote.
            again = await asyncio.gather(*(sink.write(b) for sink, b in zip(reversed(sinks), batches, strict=True)))
            assert again == [[DUPLICATE] * 5] * WRITERS
        assert 1 <= await _server_connections(behind.look) <= SERVER_CONNECTIONS
    assert await behind.look.fetchval("SELECT count(*) FROM artists") == WRITERS * ROUNDS * 5


async def test_an_event_is_entered_once(behind: Database) -> None:
    plays = make_batch(*(make_record(TableRow("plays", {"data": f"{n}"}), n) for n in range(20)))
    async with behind.open(PLAYS, mode="append", statement_cache_size=0) as sink:
        assert await sink.write(plays) == [WRITTEN] * 20
        assert await sink.write(plays) == [DUPLICATE] * 20
    assert await behind.look.fetchval("SELECT count(*) FROM plays") == 20


async def test_the_servers_side_is_seen_through_it(behind: Database) -> None:
    async with behind.open(ARTISTS, statement_cache_size=0) as sink:
        server = await sink.server_state()
    assert server.connections["test-worker"] >= 1
    assert server.limit == int(await behind.look.fetchval("SHOW max_connections"))


async def test_a_restart_is_a_lost_connection_and_the_next_pool_works(behind: Database, own_pgbouncer: Server) -> None:
    async with behind.open(ARTISTS, statement_cache_size=0) as sink:
        assert await sink.write(make_batch(artist("1"))) == [WRITTEN]
        await asyncio.to_thread(own_pgbouncer.kill)
        with pytest.raises(SinkUnavailable):
            await sink.write(make_batch(artist("2")))
        await asyncio.to_thread(own_pgbouncer.start)
        await sink.open(Endpoint("test", behind.url))
        assert await sink.write(make_batch(artist("1"), artist("2"))) == [DUPLICATE, WRITTEN]


async def test_with_prepared_statements_it_is_an_outage_that_names_the_setting(behind: Database) -> None:
    async with AsyncExitStack() as stack:
        sinks = [await stack.enter_async_context(behind.open(ARTISTS)) for _ in range(WRITERS)]
        with pytest.raises(SinkUnavailable, match=r"postgres\.statement_cache_size to 0"):
            await _write_all(sinks)
