"""`penstock up` with real workers on real servers."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.drill.installation import Installation

WORKERS = ("discogs-table", "discogs-graph")


async def test_drain_carries_the_sample_and_ends(
    penstock: Installation, sample_data: Path, postgres_url: str, neo4j_url: str
) -> None:
    penstock.done("publish", "discogs", sample_data / "discogs")
    with penstock.start("up", *WORKERS, "--drain") as family:
        assert family.wait(120) == 0, family.output()
        ended = {event["worker"]: event for event in family.events("worker_stopped")}
        assert {name: event["written"] for name, event in ended.items()} == dict.fromkeys(WORKERS, 1600)
        nobody_is_left(children(family.events("worker_process_started")))
    assert await stores.discogs_rows(postgres_url) == dict.fromkeys(stores.TABLES, 400)
    kinds = {"Artist", "Label", "Master", "Release"}
    [[full]] = stores.query(
        neo4j_url, "MATCH (n) WHERE labels(n)[0] IN $kinds AND n.hash IS NOT NULL RETURN count(n)", kinds=sorted(kinds)
    )
    assert full == 1600


async def test_one_ctrl_c_drains_all(
    penstock: Installation, broker_url: str, postgres_url: str, neo4j_url: str
) -> None:
    with penstock.start("up", *WORKERS) as family:
        wait_until(
            lambda: len(family.events("link_open")) == 2 and len(family.events("consumer_resumed")) == 2,
            60,
            "both consume",
        )
        started = children(family.events("worker_process_started"))
        assert len(started) == 2
        count = await broker.publish(
            broker_url, "discogs", [("artist", {"type": "artist", "id": str(number)}) for number in range(1, 501)]
        )
        family.signal(signal.SIGINT)
        assert family.wait(60) == 0, family.output()
        stopped = {event["worker"]: event for event in family.events("worker_stopped")}
        assert stopped.keys() == set(WORKERS)
        nobody_is_left(started)
    # What a worker has received it has written, and the rest is in its queue.
    rows, in_queue = await stores.rows(postgres_url, "artists"), await broker.depth(broker_url, "discogs-table")
    [[nodes]] = stores.query(neo4j_url, "MATCH (n:Artist) WHERE n.hash IS NOT NULL RETURN count(n)")
    assert rows == stopped["discogs-table"]["written"]
    assert nodes == stopped["discogs-graph"]["written"]
    assert rows + in_queue == count
    assert nodes + await broker.depth(broker_url, "discogs-graph") == count


def children(events: list[dict[str, int]]) -> list[int]:
    return [event["pid"] for event in events]


def nobody_is_left(pids: list[int]) -> None:
    """Fails if one of these processes is there."""
    assert pids
    assert [pid for pid in pids if lives(pid)] == []


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
