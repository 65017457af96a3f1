"""The drills in short: every one of them, and that what a sink lacks or holds twice makes one fail."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.drill.grounds import Grounds
from penstock.drill.looks import cypher, sql
from penstock.drill.registry import ALL
from penstock.drill.report import json_line
from penstock.drill.scene import WORKERS, Scene
from penstock.drill.scenes.delivery_limit import FEW
from penstock.drill.servers import Unavailable
from penstock.drill.servers.daemon import descendants, lives
from penstock.drill.servers.wait import wait_until
from support.drills import SHORT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.definition import Drill
    from support.drills import UnderWay

#: How long the next result may take, in seconds, where the test's timeout does not say less.
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


@pytest.mark.rabbitmq
@pytest.mark.postgres
@pytest.mark.neo4j
@pytest.mark.parametrize("drill", ALL, ids=[drill.name for drill in ALL])
def test_nothing_is_lost(drill: Drill, grounds: Grounds, drills_under_way: UnderWay) -> None:
    del grounds  # Only that the servers are to be had.
    result = drills_under_way.found[drill.name].result(PATIENCE)
    found = json.loads(json_line({drill.name: result}))["drills"][drill.name]
    assert "error" not in found, f"{found['error']}\n{drills_under_way.tail()}"
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
