"""What framework/RUNBOOK.md says can be typed as it stands."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from penstock.drill.installation import Installation
from support import broker, pages, replays, stores

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE = Path(__file__).parents[2] / "framework" / "RUNBOOK.md"
WORKER, DLQ, PARKED = "discogs-table", "discogs-table.dlq", "parked.dlq"
#: An editor that does what somebody would.
EDITOR = """sed -i 's/"1998x"/1998/'"""

#: What tells each block from the others.
LOOK = ("penstock dlq list", "export GROUP")
REPLAY = ("--rate", "--in-flight", "--force")
EDIT, MANY, RUBBISH, LATER = "dlq edit", "mended.jsonl", "rubbish", "parked"


def artist(number: int, **more: Any) -> tuple[str, dict[str, Any]]:
    return "artist", {"type": "artist", "id": str(number), "version": 1, "name": f"Artist {number}", **more}


def block(holding: str) -> str:
    [found] = [one for one in pages.blocks(PAGE, "console") if holding in one]
    return found


@pytest.fixture
def penstock(broker_url: str, postgres_url: str) -> Installation:
    return Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url})


@pytest.fixture
def shell(penstock: Installation, tmp_path: Path) -> Callable[[str], str]:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**penstock.environment, "PATH": path, "HOME": str(tmp_path), "EDITOR": EDITOR}

    def run(script: str) -> str:
        # What one block exports, the next ones have; and the block that asks for the group shows it.
        told = pages.shell(f'{script}\necho "${{GROUP:-}}"', tmp_path, environment)
        *lines, group = told.splitlines()
        environment["GROUP"] = group
        return "\n".join(lines)

    return run


def test_every_block_is_run_here() -> None:
    run = {block(holding) for holding in (*LOOK, *REPLAY, EDIT, MANY, RUBBISH, LATER)}
    assert run == set(pages.blocks(PAGE, "console"))


async def left(url: str) -> int:
    return await broker.depth(url, DLQ)


async def written(url: str) -> list[list[Any]]:
    return await stores.ask(url, "SELECT data_id, data ->> 'name' FROM artists ORDER BY data_id::int")


async def test_look_and_replay(
    penstock: Installation, shell: Callable[[str], str], broker_url: str, postgres_url: str
) -> None:
    """The cause: a check that somebody has put on the table, and takes away again."""
    penstock.drain(WORKER)
    await stores.ask(postgres_url, "ALTER TABLE artists ADD CONSTRAINT small CHECK (data_id::int > 2)")
    await broker.publish(broker_url, "discogs", [*(artist(number) for number in range(1, 8)), ("artist", b"rubbish")])
    penstock.with_settings(fuse__percent=100).drain(WORKER)
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    assert len(before) == 3
    looked = shell(block(LOOK[0]))
    assert f"{WORKER}\t{DLQ}\t3" in looked
    assert "small" in looked
    assert "3 letters in 2 groups" in looked
    shown = shell(block(LOOK[1]))
    assert shown.count(f"of {DLQ}, group ") == 2
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == before

    await stores.ask(postgres_url, "ALTER TABLE artists DROP CONSTRAINT small")
    told = shell(block(REPLAY[0])).splitlines()
    assert [line.split(" letters")[0] for line in told] == ["2 of 2", "1 of 1", "1 of 1"]
    penstock.drain(WORKER)
    assert await written(postgres_url) == [[str(number), f"Artist {number}"] for number in range(1, 8)]
    assert await left(broker_url) == 1

    # A letter that is older than its row.
    headers = {**dict(before[0][1])["headers"], "penstock-failed-at": replays.LONG_AGO.isoformat()}
    old = json.dumps(artist(1, name="forced")[1]).encode()
    await replays.put(broker_url, DLQ, [(old, headers)])
    assert "1 left: their rows were written after they failed" in shell(block(REPLAY[1]))
    assert "1 of 1 letters" in shell(block(REPLAY[2]))
    penstock.drain(WORKER)
    assert (await written(postgres_url))[0] == ["1", "forced"]


async def test_edit_export_and_the_rest(
    penstock: Installation, shell: Callable[[str], str], broker_url: str, postgres_url: str
) -> None:
    penstock.drain(WORKER)
    bad = [artist(1, version="1998x"), artist(2, members="none"), *(artist(n, members="none") for n in (3, 4, 5))]
    await broker.publish(broker_url, "discogs", [*bad, ("artist", b"rubbish")])
    all_of_it = penstock.with_settings(fuse__percent=100)
    all_of_it.drain(WORKER)
    assert await left(broker_url) == 6
    assert shell(block(EDIT)).count("was edited and replayed to discogs-table") == 2
    all_of_it.drain(WORKER)
    assert await written(postgres_url) == [["1", "Artist 1"], ["2", "Trio"]]

    shell(block(LOOK[1]))
    shell(block(MANY))
    # The rubbish went along, and is back.
    all_of_it.drain(WORKER)
    assert await written(postgres_url) == [
        ["1", "Artist 1"],
        ["2", "Trio"],
        *([str(n), f"Artist {n}"] for n in (3, 4, 5)),
    ]
    assert await left(broker_url) == 1

    told = shell(block(RUBBISH))
    assert "1 of 1 letters that are meant removed for ever" in told
    assert await left(broker_url) == 0

    await broker.publish(broker_url, "discogs", [artist(6, members="none")])
    all_of_it.drain(WORKER)
    await replays.put(broker_url, PARKED, [])
    assert f"letter 0 of {PARKED}" in shell(block(LATER))
    assert await left(broker_url) == 0
