"""The sink is away and the broker must not fill: records go to the spill, and come out of it exactly and in order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.drill.installation import Process
    from penstock.drill.servers import Server

WORKER = "shop-orders"


async def publish(url: str, first: int, last: int) -> None:
    """Publish the orders from `first` to the one before `last`, numbered in order."""
    orders = ({"number": number, "customer": 1, "sequence": number} for number in range(first, last))
    await broker.publish(url, "shop", (("order", order) for order in orders), together=1)


async def seen(worker: Process, metric: str, count: float) -> None:
    await asyncio.to_thread(wait_until, lambda: worker.metric(metric) >= count, 60, f"{metric} is {count}")


async def drained(worker: Process) -> None:
    await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_spill_records") == 0, 60, "the spill is empty")


@pytest.fixture
async def database(own_postgres: Server) -> AsyncIterator[Server]:
    """PostgreSQL with no orders in it; running again afterwards."""
    await stores.ask(own_postgres.url, 'DROP TABLE IF EXISTS "orders", "penstock_ledger"')
    yield own_postgres
    own_postgres.start()


@pytest.fixture
def shop(outside_python: str, broker_url: str, database: Server, tmp_path: Path) -> Installation:
    """Batches of 50, probes every 0.3 s, and a spill."""
    environment = {"RABBITMQ_URL": broker_url, "POSTGRES_URL": database.url}
    return Installation(environment, outside_python).with_settings(
        spill__path=str(tmp_path),
        batch__count=50,
        breaker__probe_min=0.2,
        breaker__probe_max=0.4,
        retry__max=0.5,
    )


async def sequence(database: Server) -> list[int]:
    """The orders in the order they were entered: nothing is ever deleted from the table."""
    return [row[0] for row in await stores.ask(database.url, "SELECT sequence FROM orders ORDER BY ctid")]


async def test_a_worker_killed_while_it_spills(shop: Installation, broker_url: str, database: Server) -> None:
    with shop.start("run", WORKER) as worker:
        worker.wait_ready()
        await publish(broker_url, 0, 500)
        await seen(worker, "penstock_outcomes_total", 500)
        await asyncio.to_thread(database.kill)
        publishing = asyncio.create_task(publish(broker_url, 500, 2000))
        await seen(worker, "penstock_spilled_total", 300)
        assert worker.get("/readyz").status_code == 200
        worker.kill()
        await publishing
    with shop.start("run", WORKER) as worker:
        # It spills on, though the sink is away at its start.
        await asyncio.to_thread(worker.wait_for, "spill_open")
        await publish(broker_url, 2000, 2500)
        await asyncio.to_thread(
            wait_until, lambda: worker.get("/health").json()["spill"]["records"] >= 2000, 60, "all is spilled"
        )
        await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_held_messages") == 0, 20, "all is acked")
        assert worker.get("/readyz").status_code == 200
        assert await broker.depth(broker_url, WORKER) == 0
        [heading, line] = shop.done("spill", "status").splitlines()
        status = dict(zip(heading.split("\t"), line.split("\t"), strict=True))
        assert (status["worker"], status["held by"], status["damaged"]) == (WORKER, str(worker.pid), "0")
        assert int(status["records"]) >= 2000
        refused = shop.penstock("spill", "drain", WORKER)
        assert refused.returncode == 1
        assert f"is held by process {worker.pid}, with" in refused.stderr
        await asyncio.to_thread(database.start)
        await drained(worker)
        await publish(broker_url, 2500, 2600)
        await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_held_messages") == 0, 20, "all is written")
        assert worker.metric("penstock_spill_drained_total") >= 2000
        assert await asyncio.to_thread(worker.stop) == 0
    assert await sequence(database) == list(range(2600))
    assert await broker.depth(broker_url, f"{WORKER}.dlq") == 0


async def test_a_spill_that_is_full(shop: Installation, broker_url: str, database: Server) -> None:
    with shop.with_settings(spill__records=300).start("run", WORKER) as worker:
        worker.wait_ready()
        await asyncio.to_thread(database.stop)
        await publish(broker_url, 0, 1500)
        await asyncio.to_thread(worker.wait_for, "spill_refuses")
        await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_consuming") == 0, 20, "it is paused")
        assert worker.get("/readyz").status_code == 503
        assert "is full: it may hold 300 records" in worker.get("/readyz").json()["reason"]
        assert 250 < worker.metric("penstock_spill_records") <= 300
        await asyncio.to_thread(database.start)
        await seen(worker, "penstock_outcomes_total", 1500)
        await drained(worker)
        await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_held_messages") == 0, 20, "all is written")
        assert worker.get("/readyz").status_code == 200
        assert await asyncio.to_thread(worker.stop) == 0
    assert await sequence(database) == list(range(1500))
    assert await broker.depth(broker_url, WORKER) == 0


async def test_a_scale_down_while_the_sink_is_away(shop: Installation, broker_url: str, database: Server) -> None:
    with shop.start("run", WORKER) as worker:
        worker.wait_ready()
        await asyncio.to_thread(database.stop)
        await publish(broker_url, 0, 1000)
        await seen(worker, "penstock_spilled_total", 500)
        assert await asyncio.to_thread(worker.stop) == 0
        assert worker.last_event("spill_published_back")["records"] >= 500
        assert not worker.events("spill_left")
    assert await broker.depth(broker_url, WORKER) == 1000
    assert shop.done("spill", "list", WORKER).splitlines() == ["file\tposition\tkey\trouting key\tbytes\tage"]
    await asyncio.to_thread(database.start)
    shop.drain(WORKER)
    assert sorted(await sequence(database)) == list(range(1000))


@pytest.mark.parametrize("where", ["sink", "queue"])
async def test_what_a_dead_worker_left_is_drained_by_hand(
    shop: Installation, broker_url: str, database: Server, where: str
) -> None:
    with shop.start("run", WORKER) as worker:
        worker.wait_ready()
        await asyncio.to_thread(database.stop)
        await publish(broker_url, 0, 500)
        await seen(worker, "penstock_spilled_total", 500)
        await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_held_messages") == 0, 20, "all is acked")
        worker.kill()
    assert len(shop.done("spill", "list", WORKER, "--limit", "7").splitlines()) == 8
    if where == "sink":
        assert shop.with_settings(retry__min=0.01).penstock("spill", "drain", WORKER).returncode == 1
        await asyncio.to_thread(database.start)
        assert shop.done("spill", "drain", WORKER) == f"drained 500 records of {WORKER} to its sink\n"
        assert await sequence(database) == list(range(500))
    else:
        done = shop.done("spill", "drain", WORKER, "--publish")
        assert done == f"drained 500 records of {WORKER} back to the queue {WORKER}\n"
        assert await broker.depth(broker_url, WORKER) == 500
        await asyncio.to_thread(database.start)
        shop.drain(WORKER)
        assert sorted(await sequence(database)) == list(range(500))
    assert shop.done("spill", "drain", WORKER).startswith("drained 0 records")
