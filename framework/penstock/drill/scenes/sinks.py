"""Drills of the sinks: PostgreSQL and Neo4j go away in every way, where both can at the same time."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import asyncpg

from penstock.drill import faults_neo4j, faults_postgres
from penstock.drill.accounting import query
from penstock.drill.definition import Drill
from penstock.drill.proxy import Proxy
from penstock.drill.scenes.play import away, during, finish, freeze, kill, load, play, start, stop, thaw, together
from penstock.drill.servers import Address
from penstock.drill.usage import Usage

if TYPE_CHECKING:
    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene
    from penstock.drill.servers import Server

#: What a worker may use while its sink is away: percent of a core, connections a second.
MOST_CPU = 2.0
MOST_CONNECTIONS = 3.0
#: The first write is to come so soon after the return, in seconds: with a probe each second, and with the defaults.
SOON = 2.0
SOON_BY_DEFAULT = 60.0


def both(scene: Scene) -> tuple[Server, ...]:
    """The servers of the sinks that take part, PostgreSQL first."""
    return tuple(scene.server("neo4j" if sink == "neo4j" else "postgres") for sink in scene.sinks)


def stopped(scene: Scene) -> Tally:
    """Both are stopped; what the workers use meanwhile is measured, their connections by a proxy before each server."""
    seconds = scene.seconds(60)
    with Proxy(scene.server("postgres").address) as postgres, Proxy(scene.server("neo4j").address) as neo4j:
        scene.environment |= {"POSTGRES_URL": postgres.url(scene.postgres_url)}
        scene.environment |= {"NEO4J_URL": neo4j.url(scene.neo4j_url)}
        ledger, table, graph = scene.workers(*scene.names)
        load(scene, seconds)
        together(*(server.stop for server in both(scene)))
        end = time.monotonic() + seconds
        for process in (ledger, table, graph):
            process.wait_for("paused")
        usages = [Usage([ledger.pid, table.pid], lambda: postgres.tried), Usage([graph.pid], lambda: neo4j.tried)]
        time.sleep(max(1.0, end - time.monotonic()))
        cpu = max(usage.cpu_percent() for usage in usages)
        connections = max(usage.tries_per_second() for usage in usages)
        since = time.monotonic()
        together(*(server.start for server in both(scene)))
        finish(scene)
        tally = scene.tally(since=since)
    tally.more |= {"worker_cpu_percent": round(cpu, 2), "connects_per_s": round(connections, 2)}
    tally.limit("worker_cpu_percent", cpu, MOST_CPU)
    tally.limit("connects_per_s", connections, MOST_CONNECTIONS)
    return soon(tally)


def stopped_defaults(scene: Scene) -> Tally:
    """Both are stopped, and the workers probe as seldom as they do by default (30 to 60 s)."""
    scene.environment.clear()
    if (probe := scene.seconds(60)) < 60:
        scene.environment |= {"PENSTOCK_BREAKER__PROBE_MIN": str(probe / 2), "PENSTOCK_BREAKER__PROBE_MAX": str(probe)}
        scene.say(f"in short: probes every {probe / 2:g} to {probe:g} s")
    seconds = scene.seconds(20)
    tally = play(scene, lambda: away(seconds, stop, start, *both(scene)), over=seconds)
    tally.limit("recovery_s", tally.recovery_s, SOON_BY_DEFAULT)
    return tally


def killed(scene: Scene) -> Tally:
    """Both are killed in the middle of a batch: at the moment when a transaction is seen to be under way."""
    postgres, neo4j = both(scene)
    role = Address(scene.postgres_url).username

    def fault() -> float:
        asyncio.run(_within_a_transaction(postgres.url, role))
        return away(scene.seconds(5), kill, start, postgres, neo4j)

    return soon(play(scene, fault, over=scene.seconds(5)))


async def _within_a_transaction(url: str, role: str) -> None:
    """Return as soon as a transaction of that role is under way."""
    statement = query("count_transactions.sql")
    async with asyncio.timeout(60):
        connection = await asyncpg.connect(url)
        try:
            while not await connection.fetchval(statement, role):
                pass
        finally:
            connection.terminate()


def frozen(scene: Scene) -> Tally:
    """Both are frozen one and a half times as long as a write may take, 30 s by default."""
    limit = scene.seconds(30)
    if limit < 30:
        scene.environment["PENSTOCK_RETRY__WRITE_TIMEOUT"] = str(limit)

    return soon(play(scene, lambda: away(1.5 * limit, freeze, thaw, *both(scene)), over=limit))


def wrong_password(scene: Scene) -> Tally:
    """The password of the workers' login is changed, their connections are ended, and it is changed back."""
    postgres, neo4j = both(scene)
    role = Address(scene.postgres_url).username
    seconds = scene.seconds(20)

    def fault() -> float:
        return during(seconds, faults_neo4j.wrong_password(neo4j), faults_postgres.wrong_password(postgres, role))

    return soon(play(scene, fault, over=seconds))


def disk_full(scene: Scene) -> Tally:
    """The disks with the tables of PostgreSQL (53100) and with the data of Neo4j are full."""
    postgres, neo4j = both(scene)
    database = Address(scene.postgres_url).database
    seconds = scene.seconds(20)
    with faults_neo4j.on_small_disk(neo4j) as disk:
        return play(
            scene,
            lambda: during(seconds, faults_neo4j.disk_full(neo4j, disk), faults_postgres.disk_full(postgres, database)),
            over=seconds,
        )


def recovering(scene: Scene) -> Tally:
    """PostgreSQL is killed and takes nobody in while it recovers (57P03)."""
    postgres, _ = both(scene)
    seconds = scene.seconds(20)
    fault = lambda: during(seconds, faults_postgres.recovering(postgres))  # noqa: E731
    return soon(play(scene, fault, over=seconds, sinks=("postgres",)))


def soon(tally: Tally) -> Tally:
    """The tally, with the limit of the first write after the return."""
    tally.limit("recovery_s", tally.recovery_s, SOON)
    return tally


DRILLS = (
    Drill("sink-stopped", "PostgreSQL and Neo4j are stopped for 60 s", stopped),
    Drill(
        "sink-stopped-defaults",
        "PostgreSQL and Neo4j are stopped, workers on default settings",
        stopped_defaults,
        quick=False,
    ),
    Drill("sink-killed", "PostgreSQL and Neo4j are killed -9 in the middle of a batch", killed),
    Drill("sink-frozen", "PostgreSQL and Neo4j are frozen for 45 s", frozen),
    Drill("sink-wrong-password", "PostgreSQL and Neo4j refuse the login for a while", wrong_password),
    Drill(
        "sink-disk-full", "PostgreSQL (53100) and Neo4j have no room on their disks for a while", disk_full, quick=False
    ),
    Drill("sink-recovery-mode", "PostgreSQL is killed -9 and takes its time to recover (57P03)", recovering),
)
