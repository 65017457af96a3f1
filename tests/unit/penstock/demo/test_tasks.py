"""Two things at a time, and things that are not left half done."""

from __future__ import annotations

import asyncio

import pytest

from penstock.demo.tasks import beside, whole
from penstock.errors import PenstockError


async def forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("ended")


async def fail() -> None:
    raise PenstockError("failed")


async def answer() -> int:
    return 42


async def test_the_side_ends_with_the_action() -> None:
    ended: list[str] = []
    assert await beside(asyncio.create_task(forever(ended)), answer()) == 42
    side = asyncio.create_task(forever(ended))
    with pytest.raises(PenstockError):
        await beside(side, fail())
    assert side.cancelled()


async def test_a_side_that_fails_ends_the_action() -> None:
    ended: list[str] = []
    with pytest.raises(PenstockError):
        await beside(asyncio.create_task(fail()), forever(ended))
    assert ended == ["ended"]


async def test_a_side_that_is_done_does_not_end_the_action() -> None:
    side = asyncio.create_task(answer())

    async def later() -> int:
        await side
        await asyncio.sleep(0)
        return 43

    assert await beside(side, later()) == 43


async def test_cancelled_both_end() -> None:
    ended: list[str] = []
    both = asyncio.create_task(beside(asyncio.create_task(forever(ended)), forever(ended)))
    while not ended:
        await asyncio.sleep(0)
        both.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both
    assert ended == ["ended"] * 2


async def test_what_is_whole_is_not_cut_by_a_cancel() -> None:
    begun, go_on, done = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def action() -> None:
        begun.set()
        await go_on.wait()
        done.set()

    task = asyncio.create_task(whole(action()))
    await begun.wait()
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert done.is_set()
    with pytest.raises(PenstockError):
        await whole(fail())
