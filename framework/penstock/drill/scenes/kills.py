"""Drills of the workers: killed under load, alone, beside a replica, and together with all servers."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from penstock.drill.definition import Drill
from penstock.drill.scenes.play import finish, load, together

if TYPE_CHECKING:
    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene

#: How often the workers are killed, and how long they live under load, in seconds: at random up to so many.
KILLS = 10
LIFE = 2.0
SEED = 20_000


def worker_killed(scene: Scene) -> Tally:
    """All three workers are killed and started again, ten times, each time while they write what is just published."""
    moments = random.Random(SEED)
    kills = KILLS if scene.scale.time >= 1 else 4
    share = scene.messages // (kills + 1)
    running = scene.workers(*scene.names)
    since = 0.0
    for life in range(kills):
        scene.publishing.start(range(life * share, (life + 1) * share), LIFE)
        scene.wait_written(life * share + 1)
        time.sleep(moments.uniform(0, LIFE))
        for process in running:
            process.kill()
        since = time.monotonic()
        running = scene.workers(*scene.names)
        scene.publishing.wait()
    scene.publishing.start(range(kills * share, scene.messages))
    scene.publishing.wait()
    scene.settle()
    tally = scene.tally(since=since)
    tally.more["kills"] = kills
    return tally


def replica_killed(scene: Scene) -> Tally:
    """Each worker runs twice on one queue; one of the two is killed. Versions guard the order, which is not asked."""
    victims = scene.workers(*scene.names)
    scene.workers(*scene.names)
    load(scene, scene.seconds(10))
    time.sleep(scene.seconds(5))
    since = time.monotonic()
    for process in victims:
        process.kill()
    finish(scene, ordered=False)
    return scene.tally(since=since, ordered=False)


def all_killed(scene: Scene) -> Tally:
    """Broker, PostgreSQL, Neo4j and all workers are killed within one second; the return is that of the workers."""
    running = scene.workers(*scene.names)
    servers = [scene.server(kind) for kind in ("rabbitmq", "postgres", "neo4j")]
    load(scene, scene.seconds(10))
    scene.wait_grown()
    start = time.monotonic()
    together(*(process.kill for process in running), *(server.kill for server in servers))
    took = time.monotonic() - start
    together(*(server.start for server in servers))
    since = time.monotonic()
    scene.workers(*scene.names)
    finish(scene)
    tally = scene.tally(since=since)
    tally.more["killed_within_s"] = round(took, 2)
    tally.limit("killed_within_s", took, 1)
    return tally


DRILLS = (
    Drill("worker-killed", "all workers are killed -9 at ten random moments under load", worker_killed),
    Drill("replica-killed", "of two replicas of each worker on one queue one is killed -9", replica_killed),
    Drill("all-killed", "broker, sinks and workers are killed -9 within one second", all_killed),
)
