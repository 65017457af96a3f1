"""Drills of the spill: no endpoint of any sink answers, and what arrives goes to this machine's disk."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from penstock.drill.backups import independent
from penstock.drill.definition import Drill
from penstock.drill.scenes.play import finish, load, together
from penstock.drill.scenes.sinks import both
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.drill.definition import Tally
    from penstock.drill.installation import Process
    from penstock.drill.scene import Scene

#: Over how long the load is spread, and how long a spill stays full, in seconds.
LOAD = 20.0
FULL = 10.0
#: Shares of the messages: what each worker has spilled before the drill goes on, and what a full spill holds.
SPILLED = 0.1
ROOM = 0.2


def killed_while_spilling(scene: Scene) -> Tally:
    """Primaries and backups of both sinks are stopped; the workers are killed while they spill, and start anew."""
    with independent(scene) as backups:
        servers = (*both(scene), scene.server("postgres", "backup"), scene.server("neo4j", "backup"))
        first = _spilling(scene)
        load(scene, scene.seconds(LOAD))
        together(*(server.stop for server in servers))
        _wait_spilled(scene, first, "penstock_spilled_total")
        for process in first:
            process.kill()
        # They find what those before them left, and spill behind it what still comes.
        second = _spilling(scene)
        _wait_spilled(scene, second, "penstock_spill_records")
        since = time.monotonic()
        together(*(server.start for server in servers))
        finish(scene)
        # What a backup has taken because it was the first to answer is brought to the primary at the next start.
        if any(backups.held().values()):
            _spilling(scene)
            backups.wait_brought()
        tally = scene.tally(since=since)
    tally.more["drained"] = [process.last_event("spill_open")["records"] for process in second]
    return tally


def full(scene: Scene) -> Tally:
    """PostgreSQL is stopped until the spills are full, and on: the workers pause and drop nothing."""
    scene.sinks = ("postgres",)
    workers = _spilling(scene, spill__records=int(scene.messages * ROOM))
    load(scene, scene.seconds(LOAD))
    together(*(server.stop for server in both(scene)))
    for process in workers:
        process.wait_for("spill_refuses")
        wait_until(partial(_is_unready, process), 30, "a worker with a full spill is not ready")
    time.sleep(scene.seconds(FULL))
    since = time.monotonic()
    together(*(server.start for server in both(scene)))
    finish(scene)
    return scene.tally(since=since)


def scaled_down(scene: Scene) -> Tally:
    """The workers are ended by SIGTERM while they spill: what they hold goes back to the queue, for others."""
    scene.sinks = ("postgres",)
    workers = _spilling(scene)
    load(scene, scene.seconds(LOAD))
    together(*(server.stop for server in both(scene)))
    _wait_spilled(scene, workers, "penstock_spill_records")
    together(*(partial(_end, process) for process in workers))
    since = time.monotonic()
    together(*(server.start for server in both(scene)))
    # As in another container: with nothing of the old disk.
    scene.workers(*scene.names)
    finish(scene, ordered=False)
    tally = scene.tally(since=since, ordered=False)
    tally.more["published_back"] = [process.last_event("spill_published_back")["records"] for process in workers]
    return tally


def _spilling(scene: Scene, **settings: str | float) -> list[Process]:
    folder = scene.folder / "spill"
    folder.mkdir(exist_ok=True)
    return scene.workers(*scene.names, spill__path=str(folder), **settings)


def _wait_spilled(scene: Scene, workers: Sequence[Process], metric: str) -> None:
    """Wait until each has spilled some of what it got, by that metric."""
    wanted = int(scene.messages * SPILLED)
    for process in workers:
        wait_until(
            partial(_counts, process, metric, wanted), 120, f"{wanted} records spilled\n{process.output()[-900:]}"
        )


def _counts(process: Process, metric: str, wanted: int) -> bool:
    return process.metric(metric) >= wanted


def _is_unready(process: Process) -> bool:
    return process.get("/readyz").status_code == 503


def _end(process: Process) -> None:
    code = process.stop()
    assert code == 0, f"a worker ended with {code}: {process.output()[-500:]}"
    left = process.events("spill_left")
    assert not left, f"it left records in its spill: {left[-1]}"


DRILLS = (
    Drill(
        "spill-worker-killed",
        "primaries and backups are stopped, and the workers killed -9 while they spill",
        killed_while_spilling,
    ),
    Drill("spill-full", "PostgreSQL is stopped until the spills are full", full),
    Drill(
        "spill-scaled-down",
        "the workers are ended while they spill: they publish back what they hold",
        scaled_down,
        quick=False,
    ),
)
