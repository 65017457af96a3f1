"""`penstock ledger` on a real PostgreSQL, beside running workers and beside another prune."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import asyncpg
import pytest

from penstock.drill.installation import Installation
from penstock.drill.servers.postgres_standby import promote
from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.sink import Prunable
from penstock.testing import make_batch, make_record
from penstock_workers.table.ledger import PAGES
from penstock_workers.table.row import TableRow
from support import broker, replays, stores
from support.tables import PLAYS

if TYPE_CHECKING:
    from penstock.drill.servers import Server
    from penstock.drill.servers.native import NativeServer
    from penstock.record import Record
    from support.tables import Database

WORKER, OTHER = "drill-ledger", "discogs-table"
DAY = 86_400
#: Some more than fit into three parts of the ledger.
MANY = 60_000
ENTER = """
INSERT INTO penstock_ledger (worker, key, written_at)
SELECT $1::text, $2::text || '-' || lpad(number::text, 60, '0'), now() - make_interval(days => $4::int)
FROM generate_series(1, $3::int) AS number
"""
KEYS = "SELECT worker, split_part(key, '-', 1), count(*) FROM penstock_ledger GROUP BY 1, 2 ORDER BY 1, 2"


async def enter(url: str, kind: str, count: int, days: int, worker: str = WORKER) -> None:
    """Keys as a worker has entered them so many days ago."""
    await stores.ask(url, ENTER, worker, kind, count, days)


def message(number: int) -> tuple[str, dict[str, Any]]:
    return "any", {"id": f"m{number}", "key": number, "version": 1}


async def waits_for_lock(database: Database) -> bool:
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    return bool(await database.look.fetchval(waiting) == 1)


def play(number: int) -> Record:
    return make_record(TableRow("plays", {"data": f'{{"n": {number}}}'}), number)


@pytest.fixture
def bare(broker_url: str, postgres_url: str) -> Installation:
    """No worker has run yet."""
    return Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url})


@pytest.fixture
def penstock(bare: Installation) -> Installation:
    """The worker has run once, so that its queues and tables are there."""
    bare.drain(WORKER)
    return bare


async def test_old_keys_go_and_young_ones_and_those_of_others_stay(penstock: Installation, postgres_url: str) -> None:
    # Mixed on the same pages, and many pages of old ones alone.
    for turn in range(3):
        await enter(postgres_url, f"old{turn}", 10, 40)
        await enter(postgres_url, f"young{turn}", 10, 20)
    await enter(postgres_url, "old", MANY, 31)
    await enter(postgres_url, "new", 5, 0)
    await enter(postgres_url, "theirs", 10, 40, "other-worker")
    pages = "SELECT pg_relation_size('penstock_ledger') / current_setting('block_size')::int"
    assert (await stores.ask(postgres_url, pages))[0][0] > 3 * PAGES
    before = await stores.ask(postgres_url, KEYS)

    [heading, line] = penstock.done("ledger", "status", WORKER).splitlines()
    assert heading.split("\t") == ["worker", "endpoint", "keys", "oldest", "newest"]
    assert line.split("\t")[2] == f"{MANY + 65:,}"
    told = penstock.done("ledger", "prune", WORKER, OTHER, "--dry-run")
    assert f"{WORKER}: {MANY + 30:,} of {MANY + 65:,} keys would be removed at " in told
    assert f"{OTHER}: it keeps no ledger (mode upsert), nothing to prune" in told
    assert await stores.ask(postgres_url, KEYS) == before

    result = penstock.penstock("ledger", "prune", WORKER, "--json")
    assert result.returncode == 0
    assert "ledger_pruned" in result.stderr
    [found] = json.loads(result.stdout)
    [at] = found["endpoints"]
    assert (found["worker"], at["keys"], at["removed"]) == (WORKER, MANY + 65, MANY + 30)
    kept = [(WORKER, f"young{turn}", 10) for turn in range(3)] + [(WORKER, "new", 5), ("other-worker", "theirs", 10)]
    assert [tuple(row) for row in await stores.ask(postgres_url, KEYS)] == sorted(kept)
    assert json.loads(penstock.done("ledger", "prune", WORKER, "--json"))[0]["endpoints"][0]["removed"] == 0
    shorter = penstock.with_settings(ledger__age=15 * DAY)
    assert json.loads(shorter.done("ledger", "prune", WORKER, "--json"))[0]["endpoints"][0]["removed"] == 30


async def test_before_the_worker_has_run_there_is_nothing_to_prune(bare: Installation, postgres_url: str) -> None:
    assert f"{WORKER}: 0 of 0 keys removed at " in bare.done("ledger", "prune", WORKER)
    assert await stores.ask(postgres_url, "SELECT to_regclass('penstock_ledger')") == [[None]]


async def test_beside_a_running_worker_that_is_sent_everything_twice_each_effect_is_once(
    penstock: Installation, broker_url: str, postgres_url: str
) -> None:
    await enter(postgres_url, "old", MANY, 31)
    count = 2000
    with penstock.start("run", WORKER) as worker:
        worker.wait_ready()
        await broker.publish(broker_url, "drill", map(message, range(count)))
        # Keys of its own that are old already: their rows are as good as forgotten, and are not sent again.
        pruning = asyncio.create_task(asyncio.to_thread(penstock.done, "ledger", "prune", WORKER, "--json"))
        await broker.publish(broker_url, "drill", map(message, range(count)))
        [found] = json.loads(await pruning)
        await broker.publish(broker_url, "drill", map(message, range(count)))
        assert worker.stop() == 0
        assert worker.events("write_failed") == []
    ended = penstock.drain(WORKER)[WORKER]
    assert ended["dead_lettered"] == 0
    assert found["endpoints"][0]["removed"] == MANY
    rows = "SELECT count(*), count(DISTINCT id) FROM drill_ledger"
    assert await stores.ask(postgres_url, rows) == [[count, count]]


async def test_two_prunes_at_once_remove_each_key_once(penstock: Installation, postgres_url: str) -> None:
    await enter(postgres_url, "old", MANY, 31)
    await enter(postgres_url, "new", 10, 0)
    both = await asyncio.gather(
        *(asyncio.to_thread(penstock.done, "ledger", "prune", WORKER, "--json") for _ in range(2))
    )
    assert sum(json.loads(told)[0]["endpoints"][0]["removed"] for told in both) == MANY
    assert await stores.ask(postgres_url, KEYS) == [[WORKER, "new", 10]]


async def test_an_old_key_that_comes_again_while_it_is_removed_holds_nobody_up(database: Database) -> None:
    """A writer waits for the removal of that very key, which is a short transaction, and for no other."""
    async with database.open(PLAYS, mode="append") as sink, database.open(PLAYS, mode="append") as other:
        assert isinstance(sink, Prunable)
        assert await sink.write(make_batch(*map(play, range(10)))) == [WRITTEN] * 10
        await database.look.execute("UPDATE penstock_ledger SET written_at = now() - interval '40 days'")
        cut = datetime.now(UTC) - timedelta(days=30)
        held = await asyncpg.connect(database.url)
        try:
            async with held.transaction():
                await held.execute("DELETE FROM penstock_ledger WHERE key = $1", play(3).key)
                # Neither new keys nor those that stay are in its way.
                assert await other.write(make_batch(play(20), play(4))) == [WRITTEN, DUPLICATE]
                waiting = asyncio.create_task(sink.prune(0, cut))
                async with asyncio.timeout(20):
                    while not await waits_for_lock(database):
                        pass
            assert await waiting == 9
        finally:
            await held.close()
        assert await sink.write(make_batch(play(3), play(20))) == [WRITTEN, DUPLICATE]
        assert [await sink.prune(part, cut) for part in await sink.ledger_parts()] == [0]


async def test_the_parts_hold_each_key_once_and_an_index_is_not_gone_through(database: Database) -> None:
    async with database.open(PLAYS, mode="append") as sink:
        await enter(database.url, "mine", MANY, 3, "test-worker")
        await enter(database.url, "theirs", 10, 3, "other")
        parts = await sink.ledger_parts()
        assert len(parts) > 3
        assert sum([(await sink.ledger_part(part)).keys for part in parts]) == MANY
        now = datetime.now(UTC)
        assert sum([(await sink.ledger_part(part, now - timedelta(days=3, hours=1))).keys for part in parts]) == 0
        found = await sink.ledger_part(0, now)
        assert found.oldest is not None
        assert found.oldest == found.newest
        assert abs(found.oldest - (now - timedelta(days=3))) < timedelta(minutes=5)
    with pytest.raises(SinkUnavailable):
        await sink.ledger_parts()


async def test_a_role_that_may_not_delete_and_a_stopped_server_are_a_line_each(
    own_postgres: Server, broker_url: str
) -> None:
    penstock = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": own_postgres.url})
    penstock.drain(WORKER)
    await enter(own_postgres.url, "old", 1, 40)
    await enter(own_postgres.url, "new", 1, 0)
    await stores.ask(own_postgres.url, "CREATE ROLE reader LOGIN PASSWORD 'only-reads'")
    await stores.ask(own_postgres.url, "GRANT SELECT, INSERT ON penstock_ledger TO reader")
    login = f"{own_postgres.address.username}:{own_postgres.address.password}@"
    reader = penstock.with_settings(POSTGRES_URL=own_postgres.url.replace(login, "reader:only-reads@"))
    refused = reader.penstock("ledger", "prune", WORKER)
    own_postgres.stop()
    try:
        away = penstock.penstock("ledger", "prune", WORKER)
    finally:
        own_postgres.start()
    for result, words in ((refused, "grant POSTGRES_USERNAME the right it lacks"), (away, "cannot be reached")):
        assert (result.returncode, result.stdout) == (1, "")
        line = result.stderr.splitlines()[-1]
        assert line.startswith("penstock: ")
        assert words in line
        assert "only-reads" not in result.stderr
    assert len(away.stderr.splitlines()) == 1
    assert json.loads(penstock.done("ledger", "prune", WORKER, "--json"))[0]["endpoints"][0]["removed"] == 1


async def test_only_the_primary_is_pruned_whichever_comes_first(
    own_postgres: Server, own_standby: NativeServer, broker_url: str
) -> None:
    settings = {"PENSTOCK_FAILOVER__MODE": "replica", "RABBITMQ_URL": broker_url}
    standby = own_standby.address.within(own_postgres.address.database)
    Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": own_postgres.url}).drain(WORKER)
    await stores.ask(own_postgres.url, "TRUNCATE penstock_ledger")
    await enter(own_postgres.url, "old", 10, 40)
    await enter(own_postgres.url, "new", 1, 0)
    for first, second in ((standby, own_postgres.url), (own_postgres.url, standby)):
        penstock = Installation({**settings, "POSTGRES_URL": first, "POSTGRES_BACKUP_URL": second})
        [at] = json.loads(penstock.done("ledger", "prune", WORKER, "--json"))[0]["endpoints"]
        assert str(own_postgres.address.port) in at["endpoint"]
        assert at["removed"] == (10 if first == standby else 0)
    own_postgres.stop()
    result = penstock.penstock("ledger", "prune", WORKER)
    assert (result.returncode, result.stdout) == (1, "")
    assert "is a standby" in result.stderr
    promote(own_standby)
    await enter(standby, "older", 3, 50)
    [at] = json.loads(penstock.done("ledger", "prune", WORKER, "--json"))[0]["endpoints"]
    assert (at["removed"], at["keys"]) == (3, 4)


async def test_a_letter_older_than_the_ledger_is_refused_unless_forced(
    penstock: Installation, broker_url: str, postgres_url: str
) -> None:
    """Its event was written, its key has been pruned: nothing else would keep it from being written twice."""
    await broker.publish(broker_url, "drill", [message(1)], **{"penstock-key": "one"})
    penstock.drain(WORKER)
    await stores.ask(postgres_url, "UPDATE penstock_ledger SET written_at = now() - interval '40 days'")
    await enter(postgres_url, "new", 1, 0)
    penstock.done("ledger", "prune", WORKER)
    # It failed a day ago, and was published long before.
    old = [(json.dumps(message(1)[1]).encode(), replays.headers("one"))]
    young = [(json.dumps(message(2)[1]).encode(), replays.headers("two"))]
    await replays.put(broker_url, f"{WORKER}.dlq", old, timestamp=datetime.now(UTC) - timedelta(days=41))
    await replays.put(broker_url, f"{WORKER}.dlq", young, timestamp=datetime.now(UTC) - timedelta(days=2))
    told = json.loads(penstock.done("dlq", "replay", WORKER, "--json"))
    assert (told["done"], told["left"]) == (1, {"key_forgotten": 1})
    assert "1 left: they are older than ledger.age" in penstock.done("dlq", "replay", WORKER)
    edited = penstock.penstock("dlq", "edit", WORKER, "--position", "0", "--set", "version=2")
    assert edited.returncode == 1
    assert "older than ledger.age" in edited.stderr
    penstock.drain(WORKER)
    rows = "SELECT id FROM drill_ledger ORDER BY id"
    assert await stores.ask(postgres_url, rows) == [["m1"], ["m2"]]
    assert json.loads(penstock.done("dlq", "replay", WORKER, "--force", "--json"))["done"] == 1
    penstock.drain(WORKER)
    assert await stores.ask(postgres_url, rows) == [["m1"], ["m1"], ["m2"]]
