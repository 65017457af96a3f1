"""Time limits and heartbeats of a connection."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.embedded.broker.watch import MISSED_HEARTBEATS, Watch

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


@pytest.fixture
async def passes(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Awaitable[None]]:
    """Lets seconds pass for the timers of the event loop, at once."""
    loop = asyncio.get_running_loop()
    now = loop.time()
    monkeypatch.setattr(loop, "time", lambda: now)

    async def passed(seconds: float) -> None:
        nonlocal now
        now += seconds
        for _ in range(3):
            await asyncio.sleep(0)

    return passed


async def test_only_the_latest_limit_counts_and_none_after_a_stop(
    passes: Callable[[float], Awaitable[None]],
) -> None:
    watch = Watch()
    called: list[str] = []
    watch.limit(5, lambda: called.append("first"))
    watch.limit(10, lambda: called.append("second"))
    await passes(9.9)
    assert called == []
    await passes(0.2)
    assert called == ["second"]
    watch.limit(5, lambda: called.append("third"))
    watch.stop()
    await passes(6)
    assert called == ["second"]


async def test_it_beats_twice_an_interval_until_nothing_is_heard_for_too_long(
    passes: Callable[[float], Awaitable[None]],
) -> None:
    watch = Watch()
    beats: list[str] = []
    watch.limit(1, lambda: beats.append("late"))
    watch.heard()
    watch.beat(60, lambda: beats.append("beat"), lambda: beats.append("silent"))
    for _ in range(20):
        await passes(30.1)
        watch.heard()
    assert beats == ["beat"] * 20
    for _ in range(20):
        await passes(30.1)
    assert beats == [*["beat"] * (20 + 2 * MISSED_HEARTBEATS - 1), "silent"]


async def test_without_an_interval_there_is_no_heartbeat(passes: Callable[[float], Awaitable[None]]) -> None:
    watch = Watch()
    called: list[str] = []
    watch.limit(5, lambda: called.append("late"))
    watch.beat(0, lambda: called.append("beat"), lambda: called.append("silent"))
    await passes(1000)
    assert called == []
