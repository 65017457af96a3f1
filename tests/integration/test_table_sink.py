"""The table sink on a real PostgreSQL, beyond the contract that every sink keeps."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN, Poison, Transient
from penstock.testing import make_batch, make_record
from penstock_workers.table.row import TableRow
from penstock_workers.table.table import Table
from support.tables import ARTISTS, LABELS, PLAYS, Database, artist, label

if TYPE_CHECKING:
    from penstock.record import Record


async def test_the_discogs_table_is_exactly_as_designed(database: Database) -> None:
    async with database.open(ARTISTS):
        columns = await database.look.fetch(
            "SELECT column_name, data_type, is_nullable FROM information_schema.columns "
            "WHERE table_name = 'artists' ORDER BY ordinal_position"
        )
        primary_key = await database.look.fetchval(
            "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND conname ^@ 'artists'"
        )
    assert [tuple(row) for row in columns] == [
        ("data_id", "text", "NO"),
        ("hash", "text", "YES"),
        ("version", "bigint", "YES"),
        ("data", "jsonb", "YES"),
        ("updated_at", "timestamp with time zone", "NO"),
    ]
    assert primary_key == "PRIMARY KEY (data_id)"


async def test_equal_records_leave_every_xmin_as_it_is(database: Database) -> None:
    batch = make_batch(*(artist(str(number), f'{{"number": {number}}}', number) for number in range(500)))
    async with database.open(ARTISTS) as sink:
        assert await sink.write(batch) == [WRITTEN] * 500
        before = await database.look.fetch("SELECT data_id, xmin, ctid, updated_at FROM artists ORDER BY data_id")
        assert await sink.write(batch) == [DUPLICATE] * 500
        assert (
            await database.look.fetch("SELECT data_id, xmin, ctid, updated_at FROM artists ORDER BY data_id") == before
        )


async def test_a_changed_record_changes_its_own_row_only(database: Database) -> None:
    async with database.open(ARTISTS) as sink:
        await sink.write(make_batch(artist("1"), artist("2")))
        before = dict(await database.look.fetch("SELECT data_id, xmin FROM artists"))
        changed = artist("2", '{"name": "new"}')
        assert await sink.write(make_batch(artist("1"), changed)) == [DUPLICATE, WRITTEN]
        after = dict(await database.look.fetch("SELECT data_id, xmin FROM artists"))
        row = await database.look.fetchrow("SELECT hash, version, data FROM artists WHERE data_id = '2'")
    assert after["1"] == before["1"]
    assert after["2"] != before["2"]
    assert tuple(row) == (changed.content_hash, None, '{"name": "new"}')


async def test_a_record_without_a_version_leaves_the_stored_one(database: Database) -> None:
    async with database.open(ARTISTS) as sink:
        await sink.write(make_batch(artist("1", "{}", 5)))
        assert await sink.write(make_batch(artist("1", '{"new": 1}'))) == [WRITTEN]
        assert await sink.write(make_batch(artist("1", '{"old": 1}', 4))) == [DUPLICATE]
        row = await database.look.fetchrow("SELECT version, data FROM artists")
    assert tuple(row) == (5, '{"new": 1}')


@pytest.mark.parametrize(
    ("values", "sqlstate"),
    [
        ({"data_id": "a\0b", "data": "{}"}, "22021"),
        ({"data_id": "a", "data": '{"name": "\\u0000"}'}, "22P05"),
        ({"data_id": "a", "data": "{"}, "22P02"),
        ({"data_id": "\ud800", "data": "{}"}, "22000"),
        ({"data_id": "a", "data": {"not": "text"}}, "22000"),
        ({"data_id": secrets.token_hex(10_000), "data": "{}"}, "54000"),
    ],
    ids=["nul-in-text", "nul-in-jsonb", "no-json", "surrogate", "no-text", "too-large-for-the-index"],
)
async def test_data_postgresql_refuses_is_poison(database: Database, values: dict[str, Any], sqlstate: str) -> None:
    bad = make_record(TableRow("artists", values), "bad")
    async with database.open(ARTISTS) as sink:
        with pytest.raises(BatchError) as raised:
            await sink.write(make_batch(artist("1"), bad))
        assert isinstance(raised.value.refusal, Poison)
        assert raised.value.refusal.error_class == sqlstate
        assert len(raised.value.refusal.message) < 500
        assert await sink.write(make_batch(artist("1"))) == [WRITTEN]


async def test_a_value_too_long_for_its_column_is_refused_and_not_cut(database: Database) -> None:
    table = Table("short", {"id": "text", "name": "varchar(3)"}, key=("id",))
    async with database.open(table) as sink:
        with pytest.raises(BatchError) as raised:
            await sink.write(make_batch(make_record(TableRow("short", {"id": "1", "name": "abcd"}), "1")))
    assert raised.value.refusal.error_class == "22001"


async def test_a_new_not_null_column_is_a_constraint_and_keeps_the_row_to_itself(database: Database) -> None:
    async with database.open(ARTISTS) as sink:
        await sink.write(make_batch(artist("1")))
        await database.look.execute("ALTER TABLE artists ADD COLUMN extra text NOT NULL DEFAULT 'x'")
        await database.look.execute("ALTER TABLE artists ALTER COLUMN extra DROP DEFAULT")
        with pytest.raises(BatchError) as raised:
            await sink.write(make_batch(artist("2", '{"secret": "row"}')))
    assert isinstance(raised.value.refusal, Poison)
    assert raised.value.refusal.reason == "constraint"
    assert "extra" in raised.value.refusal.message
    assert "secret" not in raised.value.refusal.message


async def test_a_missing_parent_is_transient_and_then_there(database: Database) -> None:
    async with database.open(ARTISTS, LABELS) as sink:
        await database.look.execute("ALTER TABLE artists ADD FOREIGN KEY (data_id) REFERENCES labels")
        with pytest.raises(BatchError) as raised:
            await sink.write(make_batch(artist("1")))
        assert isinstance(raised.value.refusal, Transient)
        await sink.write(make_batch(label("1")))
        assert await sink.write(make_batch(artist("1"))) == [WRITTEN]


async def test_keys_that_differ_only_here_are_transient_until_they_are_apart(database: Database) -> None:
    table = Table("things", {"id": "uuid", "name": "text"}, key=("id",))
    written = "0A" * 16
    pair = [
        make_record(TableRow("things", {"id": written, "name": "upper"}), "upper"),
        make_record(TableRow("things", {"id": written.lower(), "name": "lower"}), "lower"),
    ]
    async with database.open(table) as sink:
        with pytest.raises(BatchError) as raised:
            await sink.write(make_batch(*pair))
        assert isinstance(raised.value.refusal, Transient)
        assert [await sink.write(make_batch(record)) for record in pair] == [[WRITTEN], [WRITTEN]]
        assert await database.look.fetchval("SELECT name FROM things") == "lower"


async def test_outcomes_of_keys_that_postgresql_writes_otherwise(database: Database) -> None:
    table = Table("odd", {"a": "uuid", "b": "numeric(6, 2)", "c": "timestamptz"}, key=("a", "b"))
    rows = [{"a": letter * 32, "b": 1, "c": None} for letter in "FaBc"]
    batch = make_batch(*(make_record(TableRow("odd", row), row["a"]) for row in rows))
    async with database.open(table) as sink:
        assert await sink.write(make_batch(batch.records[2])) == [WRITTEN]
        assert await sink.write(batch) == [WRITTEN, WRITTEN, DUPLICATE, WRITTEN]


async def test_several_tables_are_one_transaction(database: Database) -> None:
    async with database.open(ARTISTS, LABELS) as sink:
        with pytest.raises(BatchError):
            await sink.write(make_batch(artist("1"), label("1", "{")))
        assert await database.look.fetchval("SELECT count(*) FROM artists") == 0
        assert await sink.write(make_batch(label("1"), artist("1"), label("2"))) == [WRITTEN] * 3


async def test_an_upsert_clears_and_an_update_keeps_what_a_row_does_not_give(database: Database) -> None:
    table = Table("things", {"id": "text", "a": "text", "b": "text"}, key=("id",))

    def thing(**values: str) -> Record:
        return make_record(TableRow("things", {"id": "1", **values}), "1")

    for mode, expected in (("upsert", [(None, "y")]), ("update", [("z", "y")])):
        async with database.open(table, mode=mode) as sink:
            await sink.write(make_batch(thing(a="x", b="x")))
            await sink.write(make_batch(thing(b="y")))
            if mode == "update":
                assert await sink.write(make_batch(thing(a="z"), thing(b="w"), thing(b="y"))) == [WRITTEN] * 3
        assert [tuple(row) for row in await database.look.fetch("SELECT a, b FROM things")] == expected


async def test_the_ledger_and_the_rows_are_one_transaction(database: Database) -> None:
    events = [make_record(TableRow("plays", {"data": f'{{"n": {n}}}'}), n) for n in range(3)]
    async with database.open(PLAYS, mode="append") as sink:
        bad = make_record(TableRow("plays", {"data": "{"}), "bad")
        with pytest.raises(BatchError):
            await sink.write(make_batch(*events, bad))
        assert await database.look.fetchval("SELECT count(*) FROM penstock_ledger") == 0
        assert await sink.write(make_batch(*events)) == [WRITTEN] * 3
        ledger = await database.look.fetch("SELECT worker, key FROM penstock_ledger ORDER BY key")
        assert [tuple(row) for row in ledger] == [("test-worker", key) for key in sorted(event.key for event in events)]
        assert await database.look.fetchval("SELECT count(*) FROM plays WHERE written_at <= now()") == 3


async def test_racing_writers_store_each_event_once(database: Database) -> None:
    events = [make_record(TableRow("plays", {"data": f'{{"n": {n}}}'}), n) for n in range(200)]
    async with (
        database.open(PLAYS, mode="append") as first,
        database.open(PLAYS, mode="append") as second,
    ):
        one, other = await asyncio.gather(first.write(make_batch(*events)), second.write(make_batch(*reversed(events))))
        assert [*one, *other].count(WRITTEN) == 200
        assert await database.look.fetchval("SELECT count(*) FROM plays") == 200


async def test_racing_upserts_in_any_order_do_not_deadlock(database: Database) -> None:
    numbers = range(300)
    async with database.open(ARTISTS) as first, database.open(ARTISTS) as second:
        for turn in range(3):
            batches = [
                [artist(str(number), f'{{"turn": {turn}, "writer": {writer}}}') for number in numbers]
                for writer in range(2)
            ]
            batches[1].reverse()
            outcomes = await asyncio.gather(first.write(make_batch(*batches[0])), second.write(make_batch(*batches[1])))
            assert outcomes == [[WRITTEN] * 300] * 2


async def test_prepare_alters_nothing_that_exists(database: Database) -> None:
    await database.look.execute("CREATE TABLE artists (data_id text PRIMARY KEY, mine text)")
    async with database.open(ARTISTS, LABELS) as sink:
        columns = await database.look.fetch(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'artists' ORDER BY 1"
        )
        assert [name for (name,) in columns] == ["data_id", "mine"]
        with pytest.raises(SinkUnavailable, match="as the worker declares"):
            await sink.write(make_batch(artist("1")))
        assert await sink.write(make_batch(label("1"))) == [WRITTEN]


async def test_a_worker_that_may_not_create_runs_on_tables_that_exist(database: Database) -> None:
    async with database.open(ARTISTS):
        pass
    role = f"writer_{time.monotonic_ns()}"
    await database.look.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
    await database.look.execute(f"GRANT SELECT, INSERT, UPDATE ON artists TO {role}")
    await database.look.execute(f"GRANT USAGE ON SCHEMA public TO {role}")
    await database.look.execute("REVOKE CREATE ON SCHEMA public FROM public")
    address = database.url.partition("@")[2]
    limited = Database(f"postgresql://{role}:x@{address}", database.look)
    try:
        async with limited.open(ARTISTS) as sink:
            assert await sink.write(make_batch(artist("1"))) == [WRITTEN]
        with pytest.raises(SinkUnavailable, match="grant POSTGRES_USERNAME"):
            async with limited.open(ARTISTS, LABELS):
                pytest.fail("created a table without the right to")
    finally:
        await database.look.execute(f"DROP OWNED BY {role}")
        await database.look.execute(f"DROP ROLE {role}")
