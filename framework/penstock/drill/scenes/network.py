"""Drills of the network: what is between a worker and its servers breaks, and the servers know nothing of it."""

from __future__ import annotations

import time
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Literal

from penstock.drill.definition import Drill
from penstock.drill.proxy import BOLT_COMMIT, POSTGRES_COMMIT, Proxy
from penstock.drill.scenes.play import during, finish, load, play
from penstock.drill.servers import Address, private_pgbouncer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene

#: Which server each worker writes to, and what it sends at the end of each transaction.
COMMITS = {"drill-ledger": POSTGRES_COMMIT, "drill-table": POSTGRES_COMMIT, "drill-graph": BOLT_COMMIT}
SHARE = 0.01
LATENCY = 2.0
#: Smaller than usual, for more transactions and so more chances.
BATCH = 20
#: How long a write may take, in seconds: as by default, and at least; a cold Neo4j takes its time for a batch.
LIMIT = 30.0
SHORTEST_LIMIT = 8.0
#: How often PgBouncer is started again.
RESTARTS = 3


@contextmanager
def proxied(scene: Scene) -> Iterator[dict[str, Proxy]]:
    """A proxy before the server of each worker's sink, by the worker's name, in the environment of its own."""
    urls = {"drill-ledger": scene.postgres_url, "drill-table": scene.postgres_url, "drill-graph": scene.neo4j_url}
    with ExitStack() as closing_all:
        yield {name: closing_all.enter_context(Proxy(Address(url))) for name, url in urls.items()}


def start(scene: Scene, proxies: dict[str, Proxy]) -> None:
    """Start the workers, each behind its own proxy."""
    for name, proxy in proxies.items():
        # Each takes only one of the two.
        scene.worker(name, POSTGRES_URL=proxy.url(scene.postgres_url), NEO4J_URL=proxy.url(scene.neo4j_url))


def commit_black_hole(scene: Scene, message: Literal["delivered", "swallowed"]) -> Tally:
    """One connection of each worker goes into a black hole just as it sends COMMIT, which its server gets, or not.

    A worker gives such a connection up after `retry.write_timeout`; the server holds it, and its locks, for longer.
    """
    limit = max(SHORTEST_LIMIT, scene.seconds(LIMIT))
    if limit < LIMIT:
        scene.environment["PENSTOCK_RETRY__WRITE_TIMEOUT"] = str(limit)
    with proxied(scene) as proxies:
        start(scene, proxies)
        load(scene, 2 * limit)
        with ExitStack() as holes:
            traps = [
                holes.enter_context(proxies[name].trap(commit, "black_hole", message))
                for name, commit in COMMITS.items()
            ]
            for trap in traps:
                assert trap.sprung.wait(60), "no transaction was committed"
            time.sleep(limit)
            given_up = time.monotonic()
            scene.wait_more_written()
            took = time.monotonic() - given_up
            finish(scene)
            tally = scene.tally()
    tally.recovery_s = round(took, 2)
    return tally


def latency(scene: Scene) -> Tally:
    """Everything takes 2 s each way, between workers and sinks."""
    seconds = scene.seconds(60)
    with proxied(scene) as proxies:
        start(scene, proxies)
        load(scene, seconds)
        since = during(seconds, *(proxy.delay(LATENCY) for proxy in proxies.values()))
        finish(scene)
        return scene.tally(since=since)


def resets_at_random(scene: Scene) -> Tally:
    """Each piece of data that a worker sends to its sink is with a chance of 1 % the last of its connection."""
    scene.environment["PENSTOCK_BATCH__COUNT"] = str(BATCH)
    seconds = scene.seconds(60)
    with proxied(scene) as proxies:
        start(scene, proxies)
        with ExitStack() as faults:
            for proxy in proxies.values():
                faults.enter_context(proxy.resetting_share(SHARE))
            load(scene, seconds)
            scene.publishing.wait()
        since = time.monotonic()
        finish(scene)
        tally = scene.tally(since=since)
        tally.more["resets"] = sum(proxy.resets for proxy in proxies.values())
    assert tally.more["resets"], "no connection was reset"
    return tally


def pgbouncer_restarted(scene: Scene) -> Tally:
    """PgBouncer before PostgreSQL is started again under load, first stopped cleanly, then killed."""
    with closing(private_pgbouncer(Address(scene.postgres_url))) as pgbouncer:
        url = pgbouncer.address.within(Address(scene.postgres_url).database)
        scene.environment |= {"POSTGRES_URL": url, "PENSTOCK_POSTGRES__STATEMENT_CACHE_SIZE": "0"}
        seconds = scene.seconds(15)

        def fault() -> float:
            since = 0.0
            for end in [pgbouncer.stop, *[pgbouncer.kill] * (RESTARTS - 1)]:
                end()
                time.sleep(seconds / RESTARTS)
                since = time.monotonic()
                pgbouncer.start()
                scene.wait_more_written()
            return since

        return play(scene, fault, over=2 * seconds, sinks=("postgres",))


def broker_resets(scene: Scene) -> Tally:
    """All connections to the broker, the workers' and the publisher's, are reset every 2 s."""
    seconds = scene.seconds(60)
    with Proxy(Address(scene.broker_url)) as proxy:
        scene.environment["RABBITMQ_URL"] = proxy.url(scene.broker_url)
        tally = play(scene, lambda: during(seconds, proxy.resetting(every=2)), over=seconds, server="rabbitmq")
        tally.more["resets"] = proxy.resets
    return tally


DRILLS = (
    Drill("broker-resets", "all connections to RabbitMQ are reset every 2 s for 60 s", broker_resets),
    Drill(
        "commit-delivered",
        "connections are black-holed exactly at a COMMIT that arrives",
        partial(commit_black_hole, message="delivered"),
    ),
    Drill(
        "commit-swallowed",
        "connections are black-holed exactly at a COMMIT that is lost",
        partial(commit_black_hole, message="swallowed"),
    ),
    Drill("sink-latency", "PostgreSQL and Neo4j are 2 s away, each way, for 60 s", latency),
    Drill("sink-resets", "1 % of what is sent to PostgreSQL and Neo4j resets its connection", resets_at_random),
    Drill(
        "pgbouncer-restarted", "PgBouncer before PostgreSQL is stopped, killed and started again", pgbouncer_restarted
    ),
)
