"""Drills of failover to backups that are databases of their own: they take the writes, and the primaries get them."""

from __future__ import annotations

import statistics
import time
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from penstock.drill.backups import PATIENCE, Backups, independent
from penstock.drill.definition import Drill
from penstock.drill.scenes.play import AFTER, BEFORE, finish, kill, load, start, together
from penstock.drill.scenes.sinks import both
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from penstock.drill.definition import Tally
    from penstock.drill.installation import Process
    from penstock.drill.scene import Scene

#: How often the primaries are killed in full, and the seconds over which the load of each time is spread; never less,
#: or one worker is done before another has met the fault.
ROUNDS = 3
LOAD = 15.0
LEAST_LOAD = 8.0
#: The held batch is in the backup so soon after the failure was met; the writes are back so soon after the probes.
TAKEOVER = 2.0
RETURN = 5.0
#: What a batch and a page are at most where a kill has to come between two pages.
BATCH = 100
#: The share of the messages that the backups hold of each worker before the primaries come back.
SHARE = 0.1


def primary_killed(scene: Scene) -> Tally:
    """Both primaries are killed again and again under load; how long the backups and the return take is measured.

    takeover_s: from a worker's first write_failed in its log to the first look (each 50 ms, by SQL and Cypher) that
    finds records of its in the backup; return_s: from `returning` in its log (enough good probes) to `failed_back`.
    Both of the slowest worker, median of the rounds; takeover_of and return_of tell them by worker.
    takeover_after_kill_s counts from before the kill.
    """
    takeovers: list[dict[str, float]] = []
    returns: list[dict[str, float]] = []
    after_kills: list[float] = []
    since = 0.0
    with independent(scene) as backups:
        workers = dict(zip(scene.names, scene.workers(*scene.names), strict=True))
        first = int(scene.messages * BEFORE)
        scene.publishing.start(range(first))
        scene.wait_written(first)
        scene.publishing.wait()
        for numbers in _rounds(scene):
            killed = _kill_under_load(scene, numbers)
            backups.wait_taken(killed)
            there = {name: backups.watch.samples[name].reached(1, killed) or 0.0 for name in workers}
            takeovers.append({name: there[name] - _first(one, "write_failed", killed) for name, one in workers.items()})
            after_kills.append(max(there.values()) - killed)
            since = _come_back(scene, list(workers.values()))
            returns.append({name: _return_took(one, since) for name, one in workers.items()})
            scene.publishing.wait()
            backups.wait_brought()
        finish(scene)
        tally = scene.tally(since=since)
        _see(backups, tally)
    tally.more |= {
        "takeover_s": _of_slowest(takeovers),
        "takeover_after_kill_s": round(statistics.median(after_kills), 2),
        "return_s": _of_slowest(returns),
        "takeover_of": _by_worker(takeovers),
        "return_of": _by_worker(returns),
        "kills": len(takeovers),
    }
    tally.limit("takeover_s", _of_slowest(takeovers), TAKEOVER)
    tally.limit("return_s", _of_slowest(returns), RETURN)
    return tally


def killed_while_reconciling(scene: Scene) -> Tally:
    """Each worker runs twice; the one of the two that brings the backup's records to the returned primary is killed."""
    scene.environment["PENSTOCK_BATCH__COUNT"] = str(BATCH)
    with independent(scene) as backups:
        pairs = dict(zip(scene.names, zip(*(scene.workers(*scene.names) for _ in range(2)), strict=True), strict=True))
        load(scene, max(LEAST_LOAD, scene.seconds(2 * LOAD)))
        killed = time.monotonic()
        together(*(partial(kill, server) for server in both(scene)))
        backups.wait_taken(killed, int(scene.messages * SHARE))
        since = time.monotonic()
        held: dict[str, int] = {}

        def kill_reconciling(name: str) -> None:
            _kill_reconciling(pairs[name], since)
            held[name] = backups.held()[name]

        together(
            *(partial(start, server) for server in both(scene)),
            *(partial(kill_reconciling, name) for name in pairs),
        )
        for process in (process for pair in pairs.values() for process in pair if process.running):
            process.wait_for("failed_back", PATIENCE)
        backups.wait_brought()
        finish(scene, ordered=False)
        tally = scene.tally(since=since, ordered=False)
        _see(backups, tally)
    tally.more["held_after_kill"] = held
    return tally


def _of_slowest(rounds: Sequence[Mapping[str, float]]) -> float:
    """Seconds of the slowest worker, median of the rounds."""
    return round(statistics.median(max(one.values()) for one in rounds), 2)


def _by_worker(rounds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Seconds of each worker, median of the rounds."""
    return {name: round(statistics.median(one[name] for one in rounds), 2) for name in rounds[0]}


def _rounds(scene: Scene) -> list[range]:
    """What is published in each round."""
    rounds = ROUNDS if scene.scale.time >= 1 else 1
    first, last = int(scene.messages * BEFORE), int(scene.messages * (1 - AFTER))
    size = (last - first) // rounds
    starts = range(first, first + rounds * size, size)
    return [range(begin, end) for begin, end in zip(starts, [*starts[1:], last], strict=True)]


def _kill_under_load(scene: Scene, numbers: range) -> float:
    """Publish these in the background, and kill both primaries once the first are written; when that began."""
    scene.publishing.start(numbers, max(LEAST_LOAD, scene.seconds(LOAD)))
    scene.wait_written(numbers.start + 1)
    killed = time.monotonic()
    together(*(partial(kill, server) for server in both(scene)))
    return killed


def _come_back(scene: Scene, workers: Sequence[Process]) -> float:
    """Start both primaries, and wait until all workers write there again; when that began."""
    since = time.monotonic()
    together(*(partial(start, server) for server in both(scene)))
    back = lambda: all(_times(process, "failed_back", since) for process in workers)  # noqa: E731
    wait_until(back, PATIENCE, "all workers are back at their primaries")
    return since


def _return_took(process: Process, since: float) -> float:
    return _first(process, "failed_back", since) - _first(process, "returning", since)


def _kill_reconciling(pair: Sequence[Process], since: float) -> None:
    """Kill the one that has begun to bring records over, from that time on, before it has brought them all."""
    begun: list[Process] = []

    def seen() -> bool:
        begun[:] = [process for process in pair if _times(process, "reconciling", since)]
        return bool(begun)

    wait_until(seen, PATIENCE, "a worker reconciles")
    victim = begun[0]
    victim.kill()
    assert not _times(victim, "reconciled", since), "the worker was killed only after it had reconciled"


def _see(backups: Backups, tally: Tally) -> None:
    """Enter what the backups were given, and what they still hold, of which nothing may be left."""
    tally.more["backup_rows"] = backups.rows()
    if left := {name: count for name, count in backups.held().items() if count}:
        tally.failures.append(f"the backups still hold records for the primaries: {left}")


def _times(process: Process, event: str, since: float) -> list[float]:
    """When an event was logged from that time on, in seconds of the monotonic clock."""
    offset = time.monotonic() - time.time()
    found = (datetime.fromisoformat(line["timestamp"]).timestamp() + offset for line in process.events(event))
    return [at for at in found if at >= since]


def _first(process: Process, event: str, since: float) -> float:
    times = _times(process, event, since)
    assert times, f"no event {event} in\n{process.output()[-2000:]}"
    return times[0]


DRILLS = (
    Drill(
        "failover-primary-killed",
        "PostgreSQL and Neo4j are killed -9 three times, each with a backup of its own",
        primary_killed,
    ),
    Drill(
        "failover-independent",
        "both are killed -9, and one of two workers while it brings the primary what the backup took",
        killed_while_reconciling,
        quick=False,
    ),
)
