"""What a backup took, with several processes of a worker at it at once: on PostgreSQL, PgBouncer and Neo4j."""

from __future__ import annotations

import asyncio
import random
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest

from contract.targets import GraphTarget
from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import WRITTEN, Transient
from penstock.sink import Endpoint
from penstock.taken import payloads_of
from penstock.testing import make_batch, make_delivery, make_record
from penstock_workers.table.row import TableRow
from support.tables import ARTISTS, Database, artist

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.record import Record
    from penstock.taken_contract import BackupSink

WRITERS = 3
TAKERS = 2
ROUNDS = 15


class Abandoned(Exception):
    """A block that fails."""


@dataclass
class Ground:
    """Processes of one worker at one backup."""

    url: str
    make: Callable[[], Any]
    row: Callable[[str], Any]
    #: Names of the records that a write said it wrote, and of those that a block with a good end had in hand.
    written: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)

    async def sink(self, stack: AsyncExitStack) -> BackupSink:
        sink: BackupSink = self.make()
        await sink.open(Endpoint("backup", self.url, records_taken=True))
        stack.push_async_callback(sink.close)
        await sink.prepare()
        return sink

    def record(self, name: str, key: str, version: int) -> Record:
        record = make_record(self.row(key), key, version=version)
        return replace(record, delivery=make_delivery(name.encode()))

    async def write(self, sink: BackupSink, records: Sequence[Record]) -> None:
        """Write as the writer does: what failed for a passing reason again."""
        while True:
            try:
                outcomes = await sink.write(make_batch(*records))
            except BatchError as error:
                if not isinstance(error.refusal, Transient):
                    raise
            else:
                names = [record.delivery.body.decode() for record in records]
                self.written += [name for name, outcome in zip(names, outcomes, strict=True) if outcome == WRITTEN]
                return

    async def take(self, sink: BackupSink, limit: int, failing: Callable[[], bool] = lambda: False) -> int:
        """Take a page; how many that were."""
        async with sink.taken(limit) as messages:
            names = [message.body.decode() for message in messages]
            await asyncio.sleep(0)
            if failing():
                raise Abandoned
        self.taken += names
        return len(names)

    async def take_until(self, sink: BackupSink, done: asyncio.Event, chance: random.Random) -> None:
        """Take in pages while others write, with blocks that fail in between; then the rest."""
        while not done.is_set():
            with suppress(Abandoned):
                await self.take(sink, chance.randint(1, 20), lambda: chance.random() < 0.3)
        while await self.take(sink, 20):
            pass


@pytest.fixture(
    params=[
        pytest.param("postgres", marks=pytest.mark.postgres),
        pytest.param("pgbouncer", marks=pytest.mark.postgres),
        # Not ArcadeDB, which locks nothing: those who write would have to take turns.
        pytest.param("neo4j", marks=pytest.mark.neo4j),
    ]
)
def place(request: pytest.FixtureRequest) -> Ground:
    if request.param == "neo4j":
        request.getfixturevalue("neo4j")
        target = GraphTarget(request.getfixturevalue("neo4j_url"), "upsert")
        return Ground(target.endpoint.url, target.sink, lambda key: target.row(key, "text"))
    return _on_table(request.getfixturevalue(f"{request.param}_url"), cache=0 if request.param == "pgbouncer" else 100)


def _on_table(url: str, cache: int = 100) -> Ground:
    return Ground(url, lambda: Database(url, None).sink(ARTISTS, statement_cache_size=cache), _table_row)


def _table_row(key: str) -> TableRow:
    return TableRow("artists", {"data_id": key, "data": "{}"})


async def test_what_many_write_while_many_take_is_taken_once_each(place: Ground) -> None:
    done = asyncio.Event()
    async with AsyncExitStack() as stack:
        writers = [await place.sink(stack) for _ in range(WRITERS)]
        takers = [await place.sink(stack) for _ in range(TAKERS)]

        async def write_all(number: int, sink: BackupSink) -> None:
            for turn in range(ROUNDS):
                names = [f"{number}-{turn}-{n}" for n in range(5)]
                await place.write(sink, [place.record(name, name, 1) for name in names])

        taking = [
            asyncio.create_task(place.take_until(sink, done, random.Random(number)))
            for number, sink in enumerate(takers)
        ]
        await asyncio.gather(*(write_all(number, sink) for number, sink in enumerate(writers)))
        done.set()
        await asyncio.gather(*taking)
        # Whoever took last may have ended before what another had in hand was left by a block that failed.
        while await place.take(takers[0], 100):
            pass
    assert len(place.written) == WRITERS * ROUNDS * 5
    assert sorted(place.taken) == sorted(place.written)


async def test_versions_of_one_key_are_taken_in_the_order_of_their_commits(place: Ground) -> None:
    async with AsyncExitStack() as stack:
        writers = [await place.sink(stack) for _ in range(WRITERS)]

        async def write_all(number: int, sink: BackupSink) -> None:
            for turn in range(ROUNDS):
                version = turn * WRITERS + number
                keys = ("a", "b", "c")
                await place.write(sink, [place.record(f"{key} {version}", key, version) for key in keys])

        await asyncio.gather(*(write_all(number, sink) for number, sink in enumerate(writers)))
        while await place.take(writers[0], 7):
            pass
    assert sorted(place.taken) == sorted(place.written)
    for key in ("a", "b", "c"):
        versions = [int(name.split()[1]) for name in place.taken if name.startswith(key)]
        # What was older when its turn came is a Duplicate: so whoever follows this order gets where the backup is.
        assert versions == sorted(versions)
        assert versions[-1] == WRITERS * ROUNDS - 1


async def test_a_taker_whose_connection_is_ended_forgets_nothing(database: Database) -> None:
    end_others = (
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
        "WHERE datname = current_database() AND state = 'idle in transaction'"
    )
    place = _on_table(database.url)
    async with AsyncExitStack() as stack:
        sink = await place.sink(stack)
        await place.write(sink, [place.record("a", "a", 1)])

        async def ended_meanwhile() -> None:
            async with sink.taken(10) as messages:
                assert len(messages) == 1
                assert await database.look.fetchval(end_others) == 1

        with pytest.raises(SinkUnavailable):
            await ended_meanwhile()
        assert await place.take(sink, 10) == 1


async def test_an_entry_that_is_committed_late_below_those_taken_is_kept(database: Database) -> None:
    place = _on_table(database.url)
    enter = "INSERT INTO penstock_taken (worker, payload) VALUES ('test-worker', $1)"
    async with AsyncExitStack() as stack:
        sink = await place.sink(stack)
        transaction = database.look.transaction()
        await transaction.start()
        await database.look.execute(enter, *payloads_of([place.record("lower", "a", 1)]))
        await place.write(sink, [place.record("higher", "b", 1)])
        async with sink.taken(10) as messages:
            assert [message.body for message in messages] == [b"higher"]
            await transaction.commit()
        assert await place.take(sink, 10) == 1
    assert place.taken == ["lower"]


async def test_a_role_that_may_create_nothing_records_and_takes_where_all_is_there(database: Database) -> None:
    name = f"plain_{random.randbytes(4).hex()}"
    place = _on_table(database.url)
    async with AsyncExitStack() as stack:
        await place.sink(stack)
        await database.look.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{name}'")
        stack.push_async_callback(database.look.execute, f"DROP OWNED BY {name}; DROP ROLE {name}")
        grant = "GRANT SELECT, INSERT, UPDATE, DELETE ON artists, penstock_taken TO"
        await database.look.execute(f"{grant} {name}")
        place.url = database.url.replace(database.url.partition("://")[2].partition("@")[0], f"{name}:{name}")
        sink = await place.sink(stack)
        await place.write(sink, [place.record("a", "a", 1)])
        assert await place.take(sink, 10) == 1


async def test_a_table_for_what_is_taken_is_made_at_backups_only(database: Database) -> None:
    there = "SELECT to_regclass('penstock_taken') IS NOT NULL"
    async with database.open(ARTISTS) as sink:
        await sink.write(make_batch(artist("1")))
        assert not await database.look.fetchval(there)
        with pytest.raises(SinkUnavailable, match="penstock_taken"):
            async with sink.taken(1):
                pytest.fail("nothing is taken where nothing was recorded")
