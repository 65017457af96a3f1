"""The sink is stopped for 20 s under load: the consumer pauses, nothing is dead-lettered, the counts are exact."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from penstock.discovery import load_worker
from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from penstock.settings import Settings
from penstock.topology import topology_of
from support import broker, stores

if TYPE_CHECKING:
    from penstock.drill.installation import Process
    from penstock.drill.servers import Server

SECONDS = 20
RECORDS = 8_000
#: So low that an outage which burned deliveries would dead-letter everything.
DELIVERY_LIMIT = {"x-queue-type": "quorum", "x-delivery-limit": 3}


def artist(number: int) -> tuple[str, dict[str, Any]]:
    members = [{"id": str(number + 1)}] if number % 2 else []
    return "artist", {"type": "artist", "id": str(number), "name": f"artist {number}", "members": members}


async def _queues(broker_url: str, name: str) -> None:
    for other in topology_of(load_worker(name), Settings()).others:
        await broker.declare_queue(broker_url, other.name, "unused", dict(other.arguments))
    arguments = {**DELIVERY_LIMIT, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}.dlq"}
    await broker.declare_queue(broker_url, name, "discogs", arguments)


async def _outage(worker: Process, server: Server, broker_url: str, name: str) -> None:
    """Publish all the time; stop the server in the middle of the writing and start it again."""
    publishing = asyncio.create_task(
        broker.publish(broker_url, "discogs", map(artist, range(1, RECORDS + 1)), together=1)
    )
    await asyncio.to_thread(
        wait_until, lambda: worker.metric("penstock_outcomes_total") >= 500, 60, "the first batches are written"
    )
    await asyncio.to_thread(server.stop)
    stopped = asyncio.get_running_loop().time()
    paused = await asyncio.to_thread(worker.wait_for, "consumer_paused")
    assert paused["reason"] == "sink"
    await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_consuming") == 0, 20, "it is cancelled")
    assert worker.get("/readyz").status_code == 503
    assert worker.get("/livez").status_code == 200
    assert worker.metric("penstock_breaker_state") > 0
    await asyncio.sleep(max(0, SECONDS - (asyncio.get_running_loop().time() - stopped)))
    await asyncio.to_thread(server.start)
    await asyncio.to_thread(wait_until, lambda: worker.metric("penstock_consuming") == 1, 60, "it consumes again")
    assert worker.last_event("consumer_resumed")["reason"] == "sink"
    assert await publishing == RECORDS
    await asyncio.to_thread(
        # Not "written": a batch whose COMMIT was not answered may be there already, and is a duplicate then.
        wait_until,
        lambda: worker.metric("penstock_outcomes_total") >= RECORDS,
        120,
        "all have an outcome",
    )
    assert worker.metric("penstock_breaker_state") == 0
    assert worker.metric("penstock_outages_total") >= 1
    assert worker.metric("penstock_outage_seconds_total") > SECONDS / 2
    assert worker.metric("penstock_outage_age_seconds") == 0
    assert await asyncio.to_thread(worker.stop) == 0
    assert await broker.depth(broker_url, f"{name}.dlq") == 0
    assert await broker.depth(broker_url, name) == 0


@pytest.fixture
def settings() -> dict[str, str]:
    """Probes every half second, and the queue as the test has made it."""
    return {
        "PENSTOCK_BREAKER__PROBE_MIN": "0.4",
        "PENSTOCK_BREAKER__PROBE_MAX": "0.6",
        "PENSTOCK_QUEUE__TOPOLOGY": "check",
    }


async def test_postgresql(own_postgres: Server, broker_url: str, settings: dict[str, str]) -> None:
    name = "discogs-table"
    await _queues(broker_url, name)
    installation = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": own_postgres.url, **settings})
    with installation.start("run", name) as worker:
        worker.wait_ready()
        await _outage(worker, own_postgres, broker_url, name)
    assert await stores.rows(own_postgres.url, "artists") == RECORDS


async def test_neo4j(own_neo4j: Server, broker_url: str, settings: dict[str, str]) -> None:
    name = "discogs-graph"
    await _queues(broker_url, name)
    installation = Installation({"RABBITMQ_URL": broker_url, "NEO4J_URL": own_neo4j.url, **settings})
    with installation.start("run", name) as worker:
        worker.wait_ready()
        await _outage(worker, own_neo4j, broker_url, name)
    [[records]] = stores.query(own_neo4j.url, "MATCH (a:Artist) WHERE a.hash IS NOT NULL RETURN count(a)")
    [[members]] = stores.query(own_neo4j.url, "MATCH ()-[k:MEMBER_OF]->() RETURN count(k)")
    assert (records, members) == (RECORDS, RECORDS // 2)
