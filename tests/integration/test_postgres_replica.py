"""What PostgreSQL servers say of their part in replication: on a real primary and its streaming standby."""

from __future__ import annotations

import asyncio
import itertools
import secrets
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from penstock.drill.servers.postgres_standby import promote
from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.sink import Endpoint, ReplicaState, Replicated
from penstock.stores import postgres_replica
from penstock.testing import make_batch, make_record
from penstock_workers.table.row import TableRow
from support import stores
from support.server_settings import set_to
from support.tables import ARTISTS, PLAYS, Connection, Database, artist
from support.wait import INTERVAL, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from penstock.drill.servers import Server
    from penstock.drill.servers.native import NativeServer
    from penstock.outcome import Outcome
    from penstock.record import Record
    from penstock.worker import Mode
    from penstock_workers.table.sink import TableSink
    from penstock_workers.table.table import Table


@pytest.fixture
async def look(own_postgres: Server) -> AsyncIterator[Connection]:
    connection = await asyncpg.connect(own_postgres.url)
    yield connection
    connection.terminate()


@pytest.fixture
async def role(look: Connection) -> str:
    """A role that may log in and nothing else; its password is its name."""
    name = f"plain_{secrets.token_hex(4)}"
    # A standby that there may be shows it from now on.
    await look.execute("SET synchronous_commit = remote_apply")
    await look.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER PASSWORD '{name}'")
    return name


def url_of(server: Server, role: str) -> str:
    login = f"{server.address.username}:{server.address.password}@"
    assert login in server.url
    return server.url.replace(login, f"{role}:{role}@")


@asynccontextmanager
async def asking(url: str) -> AsyncIterator[TableSink]:
    """A sink at that URL. Nothing is prepared: a standby would refuse."""
    sink = Database(url, None).sink(ARTISTS)
    await sink.open(Endpoint("test", url))
    try:
        yield sink
    finally:
        await sink.close()


def play(name: str) -> Record:
    return make_record(TableRow("plays", {"data": "{}"}), name)


async def waiting_for_standby(server: Server, write: asyncio.Task[Sequence[Outcome]]) -> list[int]:
    """The process of the server whose commit waits for the standby; none if the write is over before one does."""
    async with asyncio.timeout(20):
        while not write.done():
            if found := await stores.ask(server.url, "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep'"):
                return [row[0] for row in found]
            await asyncio.sleep(INTERVAL)
    return []


async def state_of(url: str) -> ReplicaState:
    async with asking(url) as sink:
        assert isinstance(sink, Replicated)
        return await sink.replica_state()


async def test_a_server_of_its_own_is_writable_on_the_first_timeline_and_waits_for_none(own_postgres: Server) -> None:
    assert await state_of(own_postgres.url) == ReplicaState(writable=True, timeline=1, synchronous=False)


async def test_an_ordinary_role_is_told_all_through_a_promotion_and_after_it(
    own_postgres: Server, own_standby: NativeServer, role: str
) -> None:
    assert await state_of(url_of(own_standby, role)) == ReplicaState(writable=False, timeline=1, synchronous=False)
    assert await state_of(url_of(own_postgres, role)) == ReplicaState(writable=True, timeline=1, synchronous=True)
    await asyncio.to_thread(own_postgres.kill)
    await asyncio.to_thread(promote, own_standby)
    # The control file still says 1 until the checkpoint after the promotion.
    assert await state_of(url_of(own_standby, role)) == ReplicaState(writable=True, timeline=2, synchronous=False)
    await asyncio.to_thread(own_postgres.start)
    old = await state_of(url_of(own_postgres, role))
    assert (old.writable, old.timeline) == (True, 1)


async def test_what_was_written_before_the_primary_was_killed_is_in_the_promoted_standby(
    own_postgres: Server, own_standby: NativeServer, look: Connection
) -> None:
    await look.execute("DROP TABLE IF EXISTS artists")
    written: list[str] = []

    async def write_on() -> None:
        async with asking(own_postgres.url) as sink:
            await sink.prepare()
            for number in itertools.count():
                names = [f"{number}-{n}" for n in range(10)]
                assert await sink.write(make_batch(*map(artist, names))) == [WRITTEN] * 10
                written.extend(names)

    writing = asyncio.create_task(write_on())
    await until(lambda: len(written) >= 500 or writing.done(), "the 500th record")
    await asyncio.to_thread(own_postgres.kill)
    with pytest.raises(SinkUnavailable):
        await writing
    await asyncio.to_thread(promote, own_standby)
    promoted = await asyncpg.connect(own_standby.url)
    found = {row[0] for row in await promoted.fetch("SELECT data_id FROM artists")}
    await promoted.close()
    assert len(written) >= 500
    assert set(written) <= found


@pytest.mark.parametrize(
    ("table", "mode", "record"), [(ARTISTS, "upsert", artist), (ARTISTS, "update", artist), (PLAYS, "append", play)]
)
async def test_a_duplicate_waits_for_the_standby_as_what_is_written_does(
    own_postgres: Server, own_standby: NativeServer, table: Table, mode: Mode, record: Callable[[str], Record]
) -> None:
    await stores.ask(own_postgres.url, "DROP TABLE IF EXISTS artists, plays, penstock_ledger")
    batch = make_batch(*(record(str(n)) for n in range(5)))
    async with Database(own_postgres.url, None).open(table, mode=mode) as sink:
        await asyncio.to_thread(own_standby.kill)
        first = asyncio.create_task(sink.write(batch))
        [backend] = await waiting_for_standby(own_postgres, first)
        # Its commit is on the primary's disk and not on the standby's; nobody was told that it is done.
        await stores.ask(own_postgres.url, "SELECT pg_terminate_backend($1)", backend)
        with pytest.raises(SinkUnavailable):
            await first
        again = asyncio.create_task(sink.write(batch))
        assert await waiting_for_standby(own_postgres, again), "acknowledged, and the standby does not have it"
        await asyncio.to_thread(own_standby.start)
        assert await again == [DUPLICATE] * 5
    await asyncio.to_thread(own_postgres.kill)
    await asyncio.to_thread(promote, own_standby)
    assert await stores.rows(own_standby.url, table.name) == 5


async def test_how_far_a_standby_is_behind_is_told_while_it_follows_and_while_it_is_frozen(
    own_postgres: Server, own_standby: NativeServer, look: Connection, role: str
) -> None:
    async def lag(url: str) -> tuple[float, int] | None:
        async with asking(url) as sink:
            [found] = (await sink.server_state()).standbys.values() or [None]
        return found and (found.seconds or 0.0, found.byte_size)

    async def caught_up() -> None:
        await look.execute("SET synchronous_commit = remote_apply")
        await look.execute("CREATE TABLE IF NOT EXISTS lagging AS SELECT 1")

    await caught_up()
    found = await lag(own_postgres.url)
    assert found is not None
    assert found[0] < 60
    # A role that may not see it is told of none, and of nothing else the less.
    assert await lag(url_of(own_postgres, role)) is None
    await asyncio.to_thread(own_standby.freeze)
    try:
        await look.execute("SET synchronous_commit = local")
        await look.execute("CREATE TABLE more AS SELECT generate_series(1, 10000)")
        first = await lag(own_postgres.url)
        assert first is not None
        assert first[1] > 100_000
        async with asyncio.timeout(20):
            # The standby says nothing, and falls behind with each second all the same.
            while (await lag(own_postgres.url) or (0.0, 0))[0] < first[0] + 1:  # noqa: ASYNC110 the server tells nobody
                await asyncio.sleep(0.1)
    finally:
        await asyncio.to_thread(own_standby.thaw)
        await look.execute("SET synchronous_commit = local")
        await look.execute("DROP TABLE IF EXISTS more, lagging")


@pytest.mark.parametrize(
    ("commit", "synchronous"),
    [("on", True), ("remote_apply", True), ("remote_write", False), ("local", False), ("off", False)],
)
async def test_a_commit_is_synchronous_where_it_waits_for_the_disk_of_a_standby(
    own_postgres: Server, look: Connection, role: str, commit: str, *, synchronous: bool
) -> None:
    await look.execute(f"ALTER ROLE {role} SET synchronous_commit = {commit}")
    async with set_to(look, "synchronous_standby_names", "nobody"):
        expected = ReplicaState(writable=True, timeline=1, synchronous=synchronous)
        assert await state_of(url_of(own_postgres, role)) == expected


async def test_a_role_whose_transactions_are_read_only_cannot_write_there(
    own_postgres: Server, look: Connection, role: str
) -> None:
    await look.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    assert not (await state_of(url_of(own_postgres, role))).writable


async def test_a_frozen_server_is_given_up(own_postgres: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_replica, "READ_LIMIT", 0.5)
    async with asking(own_postgres.url) as sink:
        await asyncio.to_thread(own_postgres.freeze)
        try:
            with pytest.raises(SinkUnavailable, match=r"did not tell what it is within 0\.5 s"):
                await sink.replica_state()
        finally:
            await asyncio.to_thread(own_postgres.thaw)
