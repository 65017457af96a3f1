"""compose's profile failover: a real worker, PgBouncer and two PostgreSQLs, set up by the files that compose mounts."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from penstock.discovery import load_worker
from penstock.drill.installation import Installation
from penstock.drill.servers.postgres_standby import forget_standby
from penstock.drill.servers.wait import wait_until
from penstock.settings import Settings
from penstock.topology import topology_of
from support import broker, compose_postgres, stores
from support.wait import INTERVAL

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.drill.installation import Process
    from penstock.drill.servers import Server
    from support.compose_postgres import Files

NAME = "discogs-table"
RECORDS = 1_000
#: The id 0 names nothing: such a record is dead-lettered.
FIRST = 1
LAG_IS_SEEN = "SELECT application_name FROM pg_stat_replication WHERE replay_lsn IS NOT NULL"
FOLLOWS = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'"


@pytest.fixture
def files() -> Iterator[Files]:
    """Secrets of this test's own."""
    made = compose_postgres.files()
    yield made
    made.folder.remove()


def artists(first: int) -> list[tuple[str, dict[str, Any]]]:
    return [("artist", {"type": "artist", "id": str(n), "name": f"artist {n}"}) for n in range(first, first + RECORDS)]


def worker_settings(files: Files, pgbouncer: Server, folder: Path) -> dict[str, str]:
    """What compose.yaml gives the worker, with the addresses of this machine; and probes each second."""
    host = f"127.0.0.1:{pgbouncer.address.port}"
    backup = folder / "backup-url"
    backup.write_text(files.secret("postgres-backup-url").replace("pgbouncer:6432", host))
    return {
        "POSTGRES_HOST": host,
        "POSTGRES_DATABASE": "penstock",
        "POSTGRES_USERNAME": "penstock",
        "POSTGRES_PASSWORD_FILE": str(files.secrets / "postgres-penstock"),
        "PENSTOCK_POSTGRES__STATEMENT_CACHE_SIZE": "0",
        "PENSTOCK_FAILOVER__MODE": "replica",
        "POSTGRES_BACKUP_URL_FILE": str(backup),
        "PENSTOCK_BREAKER__PROBE_MIN": "0.4",
        "PENSTOCK_BREAKER__PROBE_MAX": "0.6",
        "PENSTOCK_FAILOVER__PROBE_EVERY": "0.5",
    }


@pytest.mark.usefixtures("own_pgbouncer")  # it has to be installed
async def test_the_worker_goes_over_to_the_standby_once_it_is_promoted(
    own_postgres: Server, broker_url: str, files: Files, tmp_path: Path
) -> None:
    compose_postgres.make_roles(own_postgres, files)
    standby = compose_postgres.standby(own_postgres, files)
    pgbouncer = compose_postgres.pgbouncer(own_postgres, standby, files)
    try:
        await asyncio.to_thread(standby.start)
        # As compose starts the primary: postgres -csynchronous_standby_names=standby
        await stores.ask(own_postgres.url, "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
        await stores.ask(own_postgres.url, "SELECT pg_reload_conf()")
        await follows(own_postgres)
        assert await stores.ask(as_worker(own_postgres, files), LAG_IS_SEEN) == [["standby"]]
        await asyncio.to_thread(pgbouncer.start)
        settings = worker_settings(files, pgbouncer, tmp_path)
        installation = Installation({"RABBITMQ_URL": broker_url, **settings})
        with installation.start("run", NAME) as worker:
            await asyncio.to_thread(worker.wait_ready)
            await broker.publish(broker_url, "discogs", artists(FIRST))
            await settled(worker, RECORDS)
            await asyncio.to_thread(own_postgres.kill)
            await broker.publish(broker_url, "discogs", artists(FIRST + RECORDS))
            await asyncio.to_thread(worker.wait_for, "paused")
            await asyncio.to_thread(compose_postgres.promote, standby)
            await settled(worker, 2 * RECORDS)
            assert await asyncio.to_thread(worker.stop) == 0
        assert await left(broker_url) == {}
        assert await ids(standby) == [*range(FIRST, FIRST + 2 * RECORDS)]
        # Started again it is not copied again: it is a primary now.
        await asyncio.to_thread(standby.stop)
        await asyncio.to_thread(standby.start)
        assert await ids(standby) == [*range(FIRST, FIRST + 2 * RECORDS)]
    finally:
        pgbouncer.daemon.kill()
        standby.daemon.kill()
        own_postgres.start()
        forget_standby(own_postgres)


def as_worker(server: Server, files: Files) -> str:
    """The address of a server with the login of compose's worker."""
    return f"postgresql://penstock:{files.secret('postgres-penstock')}@127.0.0.1:{server.address.port}/penstock"


async def follows(primary: Server) -> None:
    """Return once the primary waits for its standby."""
    async with asyncio.timeout(60):
        while await stores.ask(primary.url, FOLLOWS) != [["standby"]]:  # noqa: ASYNC110 a server tells nobody
            await asyncio.sleep(INTERVAL)


async def settled(worker: Process, count: int) -> None:
    """Return once so many messages are settled and none is held: all of them were taken by the sink."""
    done = "penstock_settled_messages_total"
    await asyncio.to_thread(wait_until, lambda: worker.metric(done) >= count, 60, f"{count} messages are settled")
    await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_held_messages") == 0, 60, "none is held")
    assert worker.metric(done, settlement="ack") == count, "the others are dead letters, or were settled twice"


async def left(url: str) -> dict[str, int]:
    """The queues of the worker that hold messages: its own, DLQ, notes on suspects, retry queues."""
    topology = topology_of(load_worker(NAME), Settings())
    found = {queue.name: await broker.depth(url, queue.name) for queue in (topology.queue, *topology.others)}
    return {name: depth for name, depth in found.items() if depth}


async def ids(server: Server) -> list[int]:
    """The ids of all artists, in order."""
    return sorted(int(row[0]) for row in await stores.ask(server.url, "SELECT data_id FROM artists"))
