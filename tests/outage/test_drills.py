"""The drills in short: every one of them, and that what a sink lacks or holds twice makes one fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.drill.definition import Drill, Scale
from penstock.drill.grounds import Grounds
from penstock.drill.lanes import Lanes
from penstock.drill.looks import cypher, sql
from penstock.drill.registry import ALL
from penstock.drill.report import json_line
from penstock.drill.scene import WORKERS, Scene
from penstock.drill.scenes.delivery_limit import FEW
from penstock.drill.servers import Unavailable
from penstock.drill.servers.daemon import descendants, lives
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.drill.report import Result

#: Faults of 2 to 3 s.
SHORT = Scale(600, 0.05)
#: Drills side by side; and how long the next result may take, in seconds, where the test's timeout does not say less.
LANES = 2
PATIENCE = 600


@pytest.fixture(scope="module")
def grounds() -> Iterator[Grounds]:
    """The servers of all drills, which each drill finds running."""
    with Grounds() as made:
        for kind in ("rabbitmq", "postgres", "neo4j"):
            try:
                made.server(kind)
            except Unavailable as reason:
                if os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1":
                    raise
                pytest.skip(f"{kind} itself is absent: {reason}")
        yield made


@pytest.fixture(scope="module")
def results(request: pytest.FixtureRequest, grounds: Grounds) -> Iterator[Mapping[str, Future[Result]]]:
    """What the drills of this run will have found, by name: all are under way, side by side, from the first test on."""
    del grounds  # Only that the servers are to be had.
    asked = [item.callspec.params.get("drill") for item in request.session.items if hasattr(item, "callspec")]
    drills = [drill for drill in asked if isinstance(drill, Drill)]
    found: dict[str, Future[Result]] = {drill.name: Future() for drill in drills}
    lanes = Lanes(LANES, SHORT, print)
    with ThreadPoolExecutor(1) as thread:
        running = thread.submit(lanes.run, drills, lambda name, result: found[name].set_result(result))
        yield found
        lanes.interrupt()
        running.result()


@pytest.mark.rabbitmq
@pytest.mark.postgres
@pytest.mark.neo4j
@pytest.mark.parametrize("drill", ALL, ids=[drill.name for drill in ALL])
def test_nothing_is_lost(drill: Drill, results: Mapping[str, Future[Result]]) -> None:
    found = json.loads(json_line({drill.name: results[drill.name].result(PATIENCE)}))["drills"][drill.name]
    assert "error" not in found, found["error"]
    assert found["in"] > 0
    assert {name: found[name] for name in ("out", "lost", "duplicated", "dead_lettered")} == {
        "out": found["in"],
        "lost": 0,
        "duplicated": 0,
        "dead_lettered": 0,
    }
    assert found["newest"] is True
    assert found["in_order"] is not False
    # Beyond the order of each key: with one process all is written in the order in which it was published.
    assert not found.get("overtaken")
    if drill.name.startswith("sink-"):
        # Neither a worker nor the broker died: nothing may have gone back to its queue but what a pause met on its way.
        assert found["attempts_burned"] <= FEW


CHANGES = {
    "a row of the ledger is gone": "DELETE FROM drill_ledger WHERE id = 'change-3'",
    "a row of the ledger is there twice": "INSERT INTO drill_ledger (id, key, key_version) VALUES ('change-3', 3, 3)",
    "a key is back at an older version": "UPDATE drill_table SET version = 1, id = 'change-3' WHERE key = 3",
}


@pytest.mark.rabbitmq
@pytest.mark.postgres
@pytest.mark.neo4j
def test_what_a_sink_lacks_or_holds_twice_shows(grounds: Grounds) -> None:
    with Scene(grounds, SHORT, print) as scene:
        scene.workers(*scene.names)
        scene.publishing.start(range(SHORT.messages))
        scene.publishing.wait()
        scene.settle()
        assert scene.tally().good

        asyncio.run(sql(scene.postgres_url, CHANGES["a row of the ledger is there twice"]))
        tally = scene.tally()
        assert (tally.lost, tally.duplicated, tally.good) == (0, 1, False)
        asyncio.run(sql(scene.postgres_url, CHANGES["a row of the ledger is gone"]))
        tally = scene.tally()
        assert (tally.ids_out, tally.lost, tally.duplicated) == (SHORT.messages - 1, 1, 0)
        asyncio.run(sql(scene.postgres_url, CHANGES["a key is back at an older version"]))
        tally = scene.tally()
        assert (tally.lost, tally.more["newest"]) == (2, False)
        asyncio.run(cypher(scene.neo4j_url, "MATCH (message:DrillMessage {id: 'change-4'}) DETACH DELETE message"))
        assert scene.tally().lost == 3


@pytest.mark.rabbitmq
@pytest.mark.postgres
@pytest.mark.neo4j
def test_an_interrupted_run_leaves_nothing_behind(grounds: Grounds) -> None:
    del grounds  # Only that the servers are to be had.
    command = [sys.executable, "-m", "penstock", "drill", "--quick", "sink-frozen", "broker-stopped"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        started: set[int] = set()

        def has_workers() -> bool:
            started.update(descendants(run.pid))
            return sum(_is_worker(pid) for pid in descendants(run.pid)) >= len(WORKERS)

        wait_until(has_workers, 120, "the workers of a drill run")
        run.send_signal(signal.SIGTERM)
        _, told = run.communicate(timeout=60)
    assert run.returncode == 128 + signal.SIGTERM
    assert told == "penstock: interrupted: what this command has started is ended\n"
    assert [pid for pid in started if lives(pid)] == []


def _is_worker(pid: int) -> bool:
    try:
        return b"\0run\0drill-" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
