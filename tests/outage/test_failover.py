"""The primary is killed -9 under load and comes back: nothing lost, nothing twice, and it is where it belongs."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from penstock.drill.installation import Installation
from penstock.drill.servers.postgres_standby import await_standby, promote
from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.drill.installation import Process
    from penstock.drill.servers import Server
    from penstock.drill.servers.native import NativeServer

RECORDS = 4_000
KEYS = 100
NAME = "drill-ledger"


def change(number: int) -> tuple[str, dict[str, Any]]:
    return "change", {"id": f"change-{number}", "key": number % KEYS, "version": number // KEYS + 1}


async def eventually(condition: Callable[[], bool], what: str) -> None:
    await asyncio.to_thread(wait_until, condition, 60, what)


def outcomes(*workers: Process) -> float:
    return sum(worker.metric("penstock_outcomes_total") for worker in workers)


def active(worker: Process) -> str:
    return str(worker.get("/health").json()["endpoints"][0]["name"])


async def ids(url: str) -> list[str]:
    return [row[0] for row in await stores.ask(url, "SELECT id FROM drill_ledger ORDER BY written_at")]


@pytest.fixture
def settings(broker_url: str) -> dict[str, str]:
    """Probes every half second, and a connection that is refused at once or within 2 s."""
    return {
        "RABBITMQ_URL": broker_url,
        "PENSTOCK_BREAKER__PROBE_MIN": "0.4",
        "PENSTOCK_BREAKER__PROBE_MAX": "0.6",
        "PENSTOCK_FAILOVER__PROBE_EVERY": "0.5",
        "PENSTOCK_FAILOVER__RETURN_AFTER": "2",
        "PENSTOCK_POSTGRES__CONNECT_TIMEOUT": "2",
        "PENSTOCK_BATCH__COUNT": "50",
    }


async def test_independent_the_primary_has_everything_in_the_end(
    own_postgres: Server, postgres_url: str, broker_url: str, settings: dict[str, str]
) -> None:
    more = {
        "POSTGRES_URL": own_postgres.url,
        "POSTGRES_BACKUP_URL": postgres_url,
        "PENSTOCK_FAILOVER__MODE": "independent",
    }
    installation = Installation({**settings, **more})
    with installation.start("run", NAME) as one, installation.start("run", NAME) as two:
        one.wait_ready()
        two.wait_ready()
        primary = active(one)
        publishing = asyncio.create_task(broker.publish(broker_url, "drill", map(change, range(RECORDS)), together=1))
        await eventually(lambda: outcomes(one, two) >= 500, "the first batches are written")
        await asyncio.to_thread(own_postgres.kill)
        for worker in (one, two):
            switched = await asyncio.to_thread(worker.wait_for, "failover")
            assert switched["from"] == primary
        # One of the two dies with what it holds; the other takes that over.
        written = outcomes(two)
        one.kill()
        await eventually(lambda: outcomes(two) >= written + 500, "the backup takes batches")
        assert not two.events("paused")
        await asyncio.to_thread(own_postgres.start)
        await asyncio.to_thread(two.wait_for, "failed_back")
        assert await publishing == RECORDS
        await eventually(lambda: two.get("/health").json()["queue"]["depth"] == 0, "the queue is empty")
        await eventually(lambda: active(two) == primary, "the primary is active")
        assert two.metric("penstock_reconciled_records_total") >= 500
        assert await asyncio.to_thread(two.stop) == 0
    # What was on its way to the backup when the last worker returned is brought over by the next.
    installation.drain(NAME)
    found = await ids(own_postgres.url)
    assert (len(found), set(found)) == (RECORDS, {f"change-{number}" for number in range(RECORDS)})
    assert await stores.rows(postgres_url, "penstock_taken") == 0
    assert await broker.depth(broker_url, f"{NAME}.dlq") == 0


async def test_replica_the_promoted_standby_has_everything_and_the_old_primary_is_left_alone(
    own_postgres: Server, own_standby: NativeServer, broker_url: str, settings: dict[str, str]
) -> None:
    await stores.ask(own_postgres.url, "DROP TABLE IF EXISTS drill_ledger, penstock_ledger")
    own_standby.start()
    await asyncio.to_thread(await_standby, own_postgres)
    more = {
        "POSTGRES_URL": own_postgres.url,
        "POSTGRES_BACKUP_URL": own_standby.url,
        "PENSTOCK_FAILOVER__MODE": "replica",
    }
    installation = Installation({**settings, **more})
    checked = installation.done("check", NAME)
    assert "commits wait for a standby" in checked
    with installation.start("run", NAME) as worker:
        worker.wait_ready()
        publishing = asyncio.create_task(broker.publish(broker_url, "drill", map(change, range(RECORDS)), together=1))
        await eventually(lambda: outcomes(worker) >= 500, "the first batches are written")
        await asyncio.to_thread(own_postgres.kill)
        paused = await asyncio.to_thread(worker.wait_for, "paused")
        assert "is a standby: it is written once it has been promoted" in paused["error"]
        await asyncio.to_thread(promote, own_standby)
        await asyncio.to_thread(worker.wait_for, "failover")
        await eventually(lambda: worker.metric("penstock_consuming") == 1, "it consumes again")
        # Somebody starts the old primary again, as it was.
        await asyncio.to_thread(own_postgres.start)
        await asyncio.to_thread(worker.wait_for, "old_primary_ignored")
        assert await publishing == RECORDS
        await eventually(lambda: outcomes(worker) >= RECORDS, "all have an outcome")
        health = worker.get("/health").json()["endpoints"]
        assert [endpoint["role"] for endpoint in health] == ["primary", "old_primary"]
        assert await asyncio.to_thread(worker.stop) == 0
    before = await stores.rows(own_postgres.url, "drill_ledger")
    found = await ids(own_standby.url)
    assert (len(found), set(found)) == (RECORDS, {f"change-{number}" for number in range(RECORDS)})
    # A worker that starts now, and has never seen the promotion, writes to the promoted one too.
    await broker.publish(broker_url, "drill", [change(RECORDS)])
    installation.drain(NAME)
    assert await stores.rows(own_standby.url, "drill_ledger") == RECORDS + 1
    assert await stores.rows(own_postgres.url, "drill_ledger") == before < RECORDS
    assert await broker.depth(broker_url, f"{NAME}.dlq") == 0
