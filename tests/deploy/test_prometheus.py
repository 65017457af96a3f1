"""A real Prometheus scrapes a real worker while its PostgreSQL is away: what should fire does, and only that."""

from __future__ import annotations

import asyncio
import re
from typing import TYPE_CHECKING, Any

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores
from support.prometheus import RULES, prometheus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock.drill.installation import Process
    from penstock.drill.servers import Server
    from support.prometheus import Prometheus

WORKER = "discogs-table"
#: What an outage of the sink is to be told by: at once that there is nowhere to write to, and later which server it is.
OUTAGE = {"PenstockSinkDown", "PenstockBreakerOpen"}
FEW = 200
PROBES = {"PENSTOCK_BREAKER__PROBE_MIN": "0.4", "PENSTOCK_BREAKER__PROBE_MAX": "0.6"}


def hurried() -> str:
    """The rules as they are, but that a minute for which something must last is two seconds: 2m is 4s, 10m is 20s.

    Not less: Prometheus looks for what to scrape every five seconds, and until then there is no worker.
    """
    text, changed = re.subn(
        r"(?m)^( +for: )(\d+)m$", lambda found: f"{found[1]}{2 * int(found[2])}s", RULES.read_text()
    )
    assert changed > 10
    return text


def artists(numbers: Iterable[int]) -> list[tuple[str, dict[str, Any]]]:
    return [("artist", {"type": "artist", "id": str(one), "name": f"artist {one}", "members": []}) for one in numbers]


async def test_the_alerts_of_an_outage_and_no_others_fire(own_postgres: Server, broker_url: str) -> None:
    told = {"RABBITMQ_URL": broker_url, "POSTGRES_URL": own_postgres.url, **PROBES}
    with Installation(told).start("run", WORKER) as worker:
        await asyncio.to_thread(worker.wait_ready)
        port = worker.last_event("worker_started")["port"]
        with prometheus(hurried(), port) as watching:
            await asyncio.to_thread(
                wait_until, lambda: watching.value('up{job="penstock"} == 1') != [], 30, "it is scraped"
            )
            await written(worker, broker_url)
            assert watching.ever_fired() == set()
            await outage(watching, own_postgres, broker_url)
            await asyncio.to_thread(
                wait_until, lambda: worker.metric("penstock_outcomes_total") >= 2 * FEW, 60, "all have an outcome"
            )
            await asyncio.to_thread(wait_until, lambda: watching.firing() == set(), 60, "they resolve")
            assert watching.ever_fired() == OUTAGE
            assert await asyncio.to_thread(worker.stop) == 0
            gone = {"PenstockWorkerDown"}
            await asyncio.to_thread(wait_until, lambda: watching.firing() == gone, 60, "the worker is missed")
            assert watching.ever_fired() == OUTAGE | gone
    assert await stores.rows(own_postgres.url, "artists") == 2 * FEW
    assert await broker.depth(broker_url, WORKER) == await broker.depth(broker_url, f"{WORKER}.dlq") == 0


async def written(worker: Process, broker_url: str) -> None:
    # Not from 0: that id names nothing, and is a dead letter.
    assert await broker.publish(broker_url, "discogs", artists(range(1, FEW + 1))) == FEW
    await asyncio.to_thread(
        wait_until, lambda: worker.metric("penstock_outcomes_total") == FEW, 60, "the first are written"
    )


async def outage(watching: Prometheus, server: Server, broker_url: str) -> None:
    """Stop the server under load, wait for the alerts, and start it again."""
    await asyncio.to_thread(server.stop)
    try:
        await broker.publish(broker_url, "discogs", artists(range(FEW + 1, 2 * FEW + 1)))
        await asyncio.to_thread(wait_until, lambda: watching.firing() == OUTAGE, 90, "both alerts fire")
        told = {alert["labels"]["alertname"]: alert for alert in watching.alerts() if alert["state"] == "firing"}
        assert told["PenstockSinkDown"]["annotations"]["summary"] == f"{WORKER} has no server to write to"
        assert told["PenstockBreakerOpen"]["labels"]["worker"] == WORKER
    finally:
        await asyncio.to_thread(server.start)
