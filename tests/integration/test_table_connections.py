"""The table sink and its connections on a real PostgreSQL that refuses, hangs and dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

from penstock.errors import ConnectionLost, SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.sink import Endpoint
from penstock.stores import postgres_server
from penstock.testing import make_batch
from penstock_workers.table.sink import PREPARE_LOCK
from support.tables import ARTISTS, LABELS, Connection, Database, artist, label

if TYPE_CHECKING:
    from penstock.drill.servers import Server


async def wait_for_a_lock(look: Connection) -> None:
    """Until some transaction waits for another's lock; the server itself looks."""
    async with asyncio.timeout(10):
        await look.execute(
            "DO $$ BEGIN WHILE NOT EXISTS (SELECT FROM pg_locks WHERE NOT granted) "
            "LOOP PERFORM pg_sleep(0.01); END LOOP; END $$"
        )


def keepalive_of(ports: set[int]) -> list[int]:
    """SO_KEEPALIVE of those of this process's connections that leave from these ports."""
    found: list[int] = []
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(descriptor.name))) as peer:
            if peer.family == socket.AF_INET and peer.getsockname()[1] in ports:
                found.append(peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))
    return found


async def test_prepare_waits_for_nobody_without_a_limit(database: Database) -> None:
    sink = database.sink(ARTISTS, write_timeout=0.3)
    await sink.open(Endpoint("test", database.url))
    async with database.look.transaction():
        await database.look.execute("SELECT pg_advisory_xact_lock($1)", PREPARE_LOCK)
        with pytest.raises(SinkUnavailable, match=r"0\.3 s"):
            await sink.prepare()
    await sink.prepare()
    await sink.close()


async def test_connections_have_the_workers_name_and_keepalive(database: Database) -> None:
    async with database.open(ARTISTS, pool_min=2):
        found = await database.look.fetch(
            "SELECT application_name, client_port FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        assert [name for name, _ in found] == ["test-worker"] * 2
        assert keepalive_of({port for _, port in found}) == [1, 1]


async def test_a_terminated_backend_is_a_lost_connection_and_the_next_write_works(database: Database) -> None:
    async with database.open(ARTISTS) as sink:
        await database.look.execute("BEGIN")
        await database.look.execute("LOCK TABLE artists")
        write = asyncio.create_task(sink.write(make_batch(artist("1"))))
        await wait_for_a_lock(database.look)
        pid = await database.look.fetchval(
            "SELECT l.pid FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
            "WHERE NOT granted AND datname = current_database()"
        )
        await database.look.execute("SELECT pg_terminate_backend($1)", pid)
        with pytest.raises(ConnectionLost):
            await write
        await database.look.execute("COMMIT")
        assert await sink.write(make_batch(artist("1"))) == [WRITTEN]


async def test_without_a_statement_cache_nothing_is_left_in_the_session(database: Database) -> None:
    async with database.open(ARTISTS, statement_cache_size=0, pool_max=1) as sink:
        batch = make_batch(artist("1"))
        assert await sink.write(batch) == [WRITTEN]
        assert await sink.write(batch) == [DUPLICATE]


async def test_a_read_only_server_is_an_outage(database: Database) -> None:
    async with database.open(ARTISTS) as sink:
        name = await database.look.fetchval("SELECT current_database()")
        await database.look.execute(f'ALTER DATABASE "{name}" SET default_transaction_read_only = on')
        await sink.open(Endpoint("test", database.url))
        with pytest.raises(SinkUnavailable, match="read-only"):
            await sink.write(make_batch(artist("1")))


@pytest.mark.parametrize(
    ("login", "path", "text"),
    [
        ("postgres:wrong-secret", "", "POSTGRES_USERNAME and POSTGRES_PASSWORD"),
        ("nobody-here:wrong-secret", "", "POSTGRES_USERNAME and POSTGRES_PASSWORD"),
        (None, "no-such-database", "POSTGRES_DATABASE"),
    ],
)
async def test_what_is_wrong_with_the_login_is_named(
    own_postgres: Server, login: str | None, path: str, text: str
) -> None:
    address = own_postgres.url.partition("://")[2]
    own_login, _, place = address.rpartition("@")
    host, _, name = place.partition("/")
    url = f"postgresql://{login or own_login}@{host}/{path or name}"
    sink = Database(url, None).sink(ARTISTS)
    with pytest.raises(SinkUnavailable, match=text) as raised:
        await sink.open(Endpoint("the-endpoint", url))
    assert "the-endpoint" in str(raised.value)
    assert "wrong-secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


async def test_a_killed_server_is_an_outage_and_what_was_committed_is_there(own_postgres: Server) -> None:
    database = Database(own_postgres.url, None)
    async with database.open(ARTISTS) as sink:
        assert await sink.write(make_batch(artist("1"))) == [WRITTEN]
        await asyncio.to_thread(own_postgres.kill)
        try:
            with pytest.raises(SinkUnavailable):
                await sink.write(make_batch(artist("1"), artist("2")))
        finally:
            await asyncio.to_thread(own_postgres.start)
        await sink.open(Endpoint("test", own_postgres.url))
        assert await sink.write(make_batch(artist("1"), artist("2"))) == [DUPLICATE, WRITTEN]


async def test_a_server_frozen_in_the_middle_of_a_write_holds_nobody(own_postgres: Server) -> None:
    database = Database(own_postgres.url, None)
    look = await asyncpg.connect(own_postgres.url)
    async with database.open(LABELS) as sink:
        await look.execute("BEGIN")
        await look.execute("LOCK TABLE labels")
        write = asyncio.create_task(sink.write(make_batch(label("1"))))
        await wait_for_a_lock(look)
        await asyncio.to_thread(own_postgres.freeze)
        try:
            started = time.monotonic()
            write.cancel()
            with pytest.raises(asyncio.CancelledError):
                await write
            await sink.close()
            assert time.monotonic() - started < 0.5
            look.terminate()
        finally:
            await asyncio.to_thread(own_postgres.thaw)
        await sink.open(Endpoint("test", own_postgres.url))
        assert (await sink.write(make_batch(label("1"))))[0] in {WRITTEN, DUPLICATE}


async def test_the_pool_and_the_servers_side_are_shown(database: Database) -> None:
    async with database.open(ARTISTS, pool_min=2) as sink:
        server = await sink.server_state()
        pool = sink.pool_state()
        assert pool is not None
        assert (pool.open, pool.in_use, pool.waiting, pool.waits, pool.setting) == (2, 0, 0, 0, "postgres.pool_max")
        assert pool.lent >= 2
        assert 0 < server.read_seconds < 5
        assert server.connections["test-worker"] == 2
        assert server.limit == int(await database.look.fetchval("SHOW max_connections"))
    assert sink.pool_state() is None
    with pytest.raises(SinkUnavailable):
        await sink.server_state()


async def test_only_so_many_applications_are_named(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_server, "APPLICATIONS", 1)
    async with database.open(ARTISTS, pool_min=2) as sink:
        server = await sink.server_state()
    [[first, _], [rest, others]] = server.connections.items()
    assert (first != rest, rest) == (True, postgres_server.REST)
    assert others >= 1
