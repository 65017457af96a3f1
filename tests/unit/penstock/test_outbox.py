"""The outbox keeps messages in order over restarts, commits for many at once, and tells whoever waits what failed."""

from __future__ import annotations

import asyncio
import os
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from penstock.errors import JournalError, JournalFull
from penstock.journal import Journal
from penstock.message import Message, make
from penstock.outbox import PAGE, PAGE_BYTES, open_outbox
from penstock.settings import OutboxSettings
from support.clock import ManualClock
from support.disk import full_disk

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.outbox import Outbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@asynccontextmanager
async def opened(path: Path, clock: ManualClock | None = None, **settings: float) -> AsyncIterator[Outbox]:
    outbox = await open_outbox(OutboxSettings.model_validate(settings), str(path), clock or ManualClock())
    try:
        yield outbox
    finally:
        await outbox.close()


def message(name: str, body: bytes = b"{}") -> Message:
    return make(name, "shop", "order", body, headers={}, content_type="text/plain", now=0)


async def page(outbox: Outbox) -> list[str]:
    return [kept.message.id for kept in await outbox.page()]


async def test_messages_are_there_after_a_restart_in_the_order_of_the_calls(path: Path) -> None:
    names = [str(number) for number in range(100)]
    async with opened(path) as outbox:
        assert outbox.empty
        waiting = [outbox.store(message(name)) for name in names]
        assert not outbox.empty
        await asyncio.gather(*waiting)
        assert not outbox.empty
        assert await page(outbox) == names
    async with opened(path) as outbox:
        assert outbox.state.pending.records == 100
        assert await page(outbox) == names


async def test_many_at_once_share_a_commit(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commits = 0
    commit = Journal.commit

    def counted(journal: Journal) -> None:
        nonlocal commits
        commits += 1
        commit(journal)

    monkeypatch.setattr(Journal, "commit", counted)
    async with opened(path) as outbox:
        await asyncio.gather(*(outbox.store(message(str(number))) for number in range(500)))
        assert outbox.state.pending.records == 500
    assert commits <= 2


async def test_what_is_settled_is_gone_or_kept_aside(path: Path) -> None:
    async with opened(path) as outbox:
        await asyncio.gather(*(outbox.store(message(name)) for name in "abcd"))
        a, b, c, _ = await outbox.page()
        await outbox.settle([a], [b._replace(failure="no queue"), c._replace(failure="full")])
        assert await page(outbox) == ["d"]
    async with opened(path) as outbox:
        b, c = await outbox.failed()
        assert [(kept.message, kept.failure) for kept in (b, c)] == [(message("b"), "no queue"), (message("c"), "full")]
        assert (outbox.state.pending.records, outbox.state.failed.records) == (1, 2)
        await outbox.retry([c])
        assert await page(outbox) == ["c", "d"]
        await outbox.discard([b])
        assert await outbox.failed() == []
        await outbox.settle(await outbox.page(), [])
        assert outbox.empty


async def test_full_is_told_to_the_one_who_came_last_and_takes_nothing_away(path: Path) -> None:
    async with opened(path, records=2) as outbox:
        results = await asyncio.gather(*(outbox.store(message(name)) for name in "abc"), return_exceptions=True)
        assert results[:2] == [None, None]
        assert isinstance(results[2], JournalFull)
        assert await page(outbox) == ["a", "b"]
        # What the broker refused stays within the bounds that it came in by.
        [a, b] = await outbox.page()
        await outbox.settle([a], [b._replace(failure="x" * 100)])
        await outbox.store(message("d"))
        with pytest.raises(JournalFull, match="it may hold 2 records"):
            await outbox.store(message("e"))


async def test_a_message_that_waits_too_long_stops_the_intake_and_one_kept_aside_does_not(path: Path) -> None:
    clock = ManualClock()
    async with opened(path, clock, age=60) as outbox:
        await outbox.store(message("a"))
        assert outbox.state.oldest == clock.time
        clock.time += 61
        with pytest.raises(JournalFull, match="its oldest record waits 61 s"):
            await outbox.store(message("b"))
        await outbox.settle([], [(await outbox.page())[0]._replace(failure="no queue")])
        assert outbox.state.oldest is None
        await outbox.store(message("c"))


async def test_a_disk_that_is_full_fails_those_who_wait_and_no_others(path: Path) -> None:
    async with opened(path) as outbox:
        await outbox.store(message("before"))
        with full_disk(100_000):
            waiting = [outbox.store(message(name, os.urandom(100_000))) for name in "ab"]
            results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, JournalError) and "free some space" in str(result) for result in results)
        await outbox.store(message("after"))
        assert await page(outbox) == ["before", "after"]
    async with opened(path) as outbox:
        assert await page(outbox) == ["before", "after"]


async def test_whoever_gives_up_waiting_holds_up_nobody(path: Path) -> None:
    async with opened(path) as outbox:
        given_up, kept = outbox.store(message("a")), outbox.store(message("b"))
        given_up.cancel()
        await kept
        assert await page(outbox) == ["a", "b"]


async def test_a_page_is_bounded_by_count_and_by_bytes(path: Path) -> None:
    async with opened(path) as outbox:
        await asyncio.gather(*(outbox.store(message(str(number))) for number in range(PAGE + 1)))
        assert len(await outbox.page()) == PAGE
        await outbox.settle(await outbox.page(), [])
        await outbox.settle(await outbox.page(), [])
        large = bytes(PAGE_BYTES // 2 + 1)
        await asyncio.gather(*(outbox.store(message(name, large)) for name in "ab"))
        assert await page(outbox) == ["a"]


async def test_it_is_for_one_process(path: Path) -> None:
    async with opened(path):
        with pytest.raises(JournalError, match="is held by process"):
            await open_outbox(OutboxSettings(), str(path), ManualClock())
