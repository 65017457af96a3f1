"""`penstock outbox`: what it shows, what it does with what failed, and what it refuses, without any server."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest

from penstock.clock import SystemClock
from penstock.journal_lease import Lease
from penstock.message import make
from penstock.outbox import Outbox, open_outbox
from penstock.settings import OutboxSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from penstock.outbox import State

HEADINGS = ["pending", "failed", "bytes", "oldest", "held by", "file"]


def within(path: Path, action: Callable[[Outbox], Coroutine[None, None, None]]) -> State:
    """Do something with an outbox as its program would; what is in it then."""

    async def run() -> State:
        outbox = await open_outbox(OutboxSettings(), str(path), SystemClock())
        await action(outbox)
        await outbox.close()
        return outbox.state

    return asyncio.run(run())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """An outbox with the messages m0 to m4, of which m1 and m3 failed."""
    found = tmp_path / "outbox.sqlite"

    async def fill(outbox: Outbox) -> None:
        for number in range(5):
            await outbox.store(make(f"m{number}", "shop", "order", b"{}", headers={}, content_type="text/plain", now=0))
        kept = await outbox.page()
        await outbox.settle([], [one._replace(failure="no queue\nis bound") for one in (kept[1], kept[3])])

    within(found, fill)
    return found


def counts(path: Path) -> tuple[int, int]:
    async def look(_outbox: Outbox) -> None:
        """It is opened, that is all."""

    state = within(path, look)
    return state.pending.records, state.failed.records


def test_status_shows_what_is_there_and_who_holds_it(call: Callable[..., Any], path: Path) -> None:
    answer = call("outbox", "status", PENSTOCK_OUTBOX__PATH=str(path))
    assert answer.code == 0
    heading, row = (line.split("\t") for line in answer.out.splitlines())
    assert heading == HEADINGS
    assert (row[:2], row[4:]) == (["3", "2"], ["free", str(path)])
    with Lease(path):
        answer = call("outbox", "status", PENSTOCK_OUTBOX__PATH=str(path))
    assert answer.out.splitlines()[1].split("\t")[4] == str(os.getpid())


def test_failed_lists_what_the_broker_refused_without_what_is_in_it(call: Callable[..., Any], path: Path) -> None:
    with Lease(path):
        answer = call("outbox", "failed", PENSTOCK_OUTBOX__PATH=str(path))
    heading, first, second = (line.split("\t") for line in answer.out.splitlines())
    assert heading == ["id", "exchange", "routing key", "bytes", "age", "reason"]
    assert [*first[:4], first[5]] == ["m1", "shop", "order", "2", "no queue is bound"]
    assert second[0] == "m3"
    answer = call("outbox", "failed", "--limit", "1", PENSTOCK_OUTBOX__PATH=str(path))
    assert len(answer.out.splitlines()) == 2
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET payload = X'00' WHERE stream = 'failed' AND position = 2")
    answer = call("outbox", "failed", PENSTOCK_OUTBOX__PATH=str(path))
    assert [line.split("\t")[0] for line in answer.out.splitlines()] == ["id", "damaged", "m3"]


def test_retry_and_discard_take_ids_or_all(call: Callable[..., Any], path: Path) -> None:
    answer = call("outbox", "retry", "m3", PENSTOCK_OUTBOX__PATH=str(path))
    assert (answer.code, answer.out) == (
        0,
        "1 message will be tried again when the program that publishes is started next\n",
    )
    assert counts(path) == (4, 1)
    answer = call("outbox", "discard", "--all", PENSTOCK_OUTBOX__PATH=str(path))
    assert (answer.code, answer.out) == (0, "1 message discarded\n")
    assert counts(path) == (4, 0)
    answer = call("outbox", "retry", "--all", PENSTOCK_OUTBOX__PATH=str(path))
    assert answer.out.startswith("0 messages will be tried again")


def test_what_waits_again_stands_in_its_old_place(call: Callable[..., Any], path: Path) -> None:
    call("outbox", "retry", "--all", PENSTOCK_OUTBOX__PATH=str(path))
    seen: list[str] = []

    async def look(outbox: Outbox) -> None:
        seen.extend(kept.message.id for kept in await outbox.page())

    within(path, look)
    assert seen == ["m0", "m1", "m2", "m3", "m4"]


@pytest.mark.parametrize("command", ["retry", "discard"])
@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name the messages by their ids"),
        (["m1", "--all"], "name the messages by their ids"),
        (["m1", "m0"], "no message that failed has the id m0: see penstock outbox failed"),
    ],
)
def test_nothing_is_changed_where_it_is_not_clear_what(
    call: Callable[..., Any], path: Path, command: str, words: list[str], message: str
) -> None:
    answer = call("outbox", command, *words, PENSTOCK_OUTBOX__PATH=str(path))
    assert answer.code == 2
    assert message in answer.err
    assert counts(path) == (3, 2)


@pytest.mark.parametrize("command", ["retry", "discard"])
def test_an_outbox_that_a_process_holds_is_left_to_it(call: Callable[..., Any], path: Path, command: str) -> None:
    with Lease(path):
        answer = call("outbox", command, "--all", PENSTOCK_OUTBOX__PATH=str(path))
    assert answer.code == 1
    assert f"is held by process {os.getpid()} ({path}.lock): stop that one first" in answer.err
    assert counts(path) == (3, 2)


@pytest.mark.parametrize("command", [["status"], ["failed"], ["retry", "--all"], ["discard", "--all"]])
def test_an_outbox_that_is_not_there_is_not_made(call: Callable[..., Any], tmp_path: Path, command: list[str]) -> None:
    answer = call("outbox", *command, PENSTOCK_OUTBOX__PATH=str(tmp_path / "none.sqlite"))
    assert answer.code == 2
    assert f"there is no outbox at {tmp_path / 'none.sqlite'}: check PENSTOCK_OUTBOX__PATH" in answer.err
    assert list(tmp_path.iterdir()) == []


def test_where_none_is_set_the_variable_is_named(call: Callable[..., Any]) -> None:
    answer = call("outbox", "status")
    assert answer.code == 2
    assert "set PENSTOCK_OUTBOX__PATH" in answer.err
