"""Whether the broker takes messages, and what becomes of those under way when it does not."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from penstock.blockage import Blockage, Meanwhile
from penstock.errors import BrokerBlocked


async def test_it_is_over_when_no_connection_is_blocked_and_each_change_is_told_once() -> None:
    told: list[str] = []
    blockage = Blockage(told.append, "wait")
    await asyncio.wait_for(blockage.over(), 1)
    blockage.begin("first", "low on memory")
    blockage.begin("second", "low on disk")
    assert (blockage.reason, blockage.trouble) == ("low on memory", "the broker takes no messages: low on memory")
    blockage.end("a connection that was never blocked")
    blockage.end("first")
    assert blockage.reason == "low on disk"
    waiting = asyncio.create_task(blockage.over())
    await asyncio.sleep(0)
    assert not waiting.done()
    blockage.end("second")
    await waiting
    blockage.end("second")
    assert (blockage.reason, blockage.trouble) == ("", "")
    assert told == ["low on memory", ""]


async def test_a_broker_that_gives_no_reason_is_blocked_all_the_same() -> None:
    blockage = Blockage(lambda _: None, "wait")
    blockage.begin("one", "")
    assert blockage.trouble == "the broker takes no messages: it gives no reason"


async def test_who_waits_passes_when_it_is_over_or_is_told_when_the_time_is() -> None:
    blockage = Blockage(lambda _: None, "wait")
    await blockage.passable(0)
    blockage.begin("one", "low on memory")
    with pytest.raises(BrokerBlocked, match=r"low on memory, for longer than 0\.01 s"):
        await blockage.passable(0.01)
    passing = asyncio.create_task(blockage.passable(60))
    await asyncio.sleep(0)
    blockage.end("one")
    await passing


async def under_way(blockage: Blockage) -> None:
    async with asyncio.timeout(60) as limit:
        with blockage.ends(limit):
            await asyncio.Event().wait()


async def test_who_does_not_wait_is_told_at_once() -> None:
    blockage = Blockage(lambda _: None, "raise")
    tasks = [asyncio.create_task(under_way(blockage)) for _ in range(3)]
    await asyncio.sleep(0)
    blockage.begin("one", "low on memory")
    blockage.begin("two", "low on memory")
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(result) for result in results] == [TimeoutError] * 3
    with pytest.raises(BrokerBlocked, match="low on memory"):
        await blockage.passable(60)
    blockage.end("one")
    blockage.end("two")
    # Those that are done are not touched by the next one.
    blockage.begin("three", "low on disk")


async def test_who_waits_keeps_his_time_limit() -> None:
    blockage = Blockage(lambda _: None, "wait")
    task = asyncio.create_task(under_way(blockage))
    await asyncio.sleep(0)
    blockage.begin("one", "low on memory")
    done, _ = await asyncio.wait({task}, timeout=0.05)
    assert not done
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.mark.parametrize("meanwhile", ["wait", "raise"])
async def test_who_watches_is_told_of_each_notice_where_publishes_do_not_wait(meanwhile: Meanwhile) -> None:
    told: list[str] = []
    blockage = Blockage(lambda _: None, meanwhile)
    ends = [partial(told.append, name) for name in ("first", "second")]
    for end in ends:
        blockage.watch(end)
    blockage.begin("a connection", "low on memory")
    blockage.begin("another", "low on memory")
    for connection in ("a connection", "another"):
        blockage.end(connection)
    blockage.unwatch(ends[0])
    blockage.begin("a connection", "low on disk")
    assert sorted(told) == (["first", "second", "second"] if meanwhile == "raise" else [])
