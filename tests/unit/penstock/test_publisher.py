"""`penstock.Publisher` in front of a broker in memory: what it says is durable is durable, in order, whatever ends."""

from __future__ import annotations

import asyncio
import sqlite3
import subprocess
import sys
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import penstock
import penstock.publisher
from penstock.errors import JournalError, JournalFull, LinkError, PublishRefused, UsageError
from penstock.publisher import ROOM, Confirmed, Publisher, Stored
from penstock.settings import OutboxSettings, Settings
from support.clock import ManualClock
from support.memory_broker import MemoryBroker
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.publisher import Receipt


@pytest.fixture
async def broker(monkeypatch: pytest.MonkeyPatch) -> MemoryBroker:
    made = MemoryBroker()
    monkeypatch.setattr(penstock.publisher, "Sender", made.sender)
    return made


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.sqlite"


@asynccontextmanager
async def publishing(path: Path | None, clock: ManualClock | None = None, **outbox: float) -> AsyncIterator[Publisher]:
    kept = OutboxSettings.model_validate({"path": str(path) if path else None, **outbox})
    async with Publisher(Settings(outbox=kept), clock=clock or ManualClock()) as publisher:
        yield publisher


async def publish(publisher: Publisher, count: int, routing_key: str = "order") -> list[Receipt]:
    return list(await asyncio.gather(*(publisher.publish("shop", routing_key, b"{}") for _ in range(count))))


def test_the_name_is_there_and_not_imported_before_it_is_asked_for() -> None:
    assert penstock.Publisher is Publisher
    assert penstock.__all__ == ["Confirmed", "Publisher", "Stored"]
    with pytest.raises(AttributeError, match="has no attribute 'Consumer'"):
        _ = penstock.Consumer
    light = "import sys, penstock; sys.exit('aio_pika' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", light], check=False).returncode == 0


async def test_without_an_outbox_a_publish_is_confirmed_or_fails(broker: MemoryBroker) -> None:
    async with publishing(None) as publisher:
        [receipt] = await publish(publisher, 1)
        assert receipt == Confirmed(broker.taken[0])
        assert publisher.stats().rate > 0
        broker.up.clear()
        with pytest.raises(LinkError, match="away"):
            await publish(publisher, 1)
        assert await publisher.failed() == []
        assert await publisher.retry_failed(["any"]) == await publisher.discard_failed(["any"]) == 0
        await publisher.flush()
    assert len(broker.taken) == 1


async def test_what_was_under_way_and_what_came_later_is_stored_in_order_and_sent_when_the_broker_is_back(
    broker: MemoryBroker, path: Path
) -> None:
    async with publishing(path) as publisher:
        broker.loses_after = 5
        receipts = await publish(publisher, 2 * ROOM)
        assert all(isinstance(receipt, Stored) for receipt in receipts)
        assert publisher.stats().pending == 2 * ROOM
        await until(lambda: publisher.stats().trouble == "the broker is away", "trouble is told")
        broker.up.set()
        broker.loses_after = None
        await publisher.flush()
        assert broker.once == [receipt.id for receipt in receipts]
        assert publisher.stats().pending == 0
        assert [type(receipt) for receipt in await publish(publisher, 3)] == [Confirmed] * 3
        await until(lambda: publisher.stats().trouble == "", "all is well")


async def test_a_broker_that_takes_nothing_is_not_waited_for_and_not_asked_until_it_says_so(
    broker: MemoryBroker, path: Path
) -> None:
    clock = ManualClock()
    async with publishing(path, clock) as publisher:
        before = await publish(publisher, 3)
        broker.blockage.begin("connection", "low on memory")
        assert publisher.stats().blocked
        receipts = await publish(publisher, 2 * ROOM)
        assert all(isinstance(receipt, Stored) for receipt in receipts)
        assert publisher.stats().trouble == "the broker takes no messages: low on memory"
        assert publisher.stats().pending == 2 * ROOM
        assert clock.slept == []
        broker.blockage.end("connection")
        await publisher.flush()
        assert broker.taken == [receipt.id for receipt in before + receipts]
        assert clock.slept == []
        await until(lambda: publisher.stats().trouble == "", "all is well")
        assert not publisher.stats().blocked
        assert [type(receipt) for receipt in await publish(publisher, 3)] == [Confirmed] * 3
        assert publisher.stats().confirmed == 3 + 2 * ROOM + 3


async def test_an_earlier_life_comes_first(broker: MemoryBroker, path: Path) -> None:
    broker.up.clear()
    async with publishing(path) as publisher:
        before = await publish(publisher, 3)
    broker.up.set()
    async with publishing(path) as publisher:
        after = await publish(publisher, 3)
        await publisher.flush()
    assert broker.once == [receipt.id for receipt in before + after]


async def test_the_outbox_gets_empty_however_fast_it_is_published_to(broker: MemoryBroker, path: Path) -> None:
    broker.up.clear()
    over = False

    async def go_on() -> None:
        while not over:
            await publisher.publish("shop", "order", b"{}")

    async with publishing(path) as publisher:
        await publish(publisher, 3000)
        callers = [asyncio.create_task(go_on()) for _ in range(2 * ROOM)]
        broker.up.set()
        await until(lambda: publisher.stats().pending == 0, "it is empty")
        over = True
        await asyncio.gather(*callers)
    assert broker.taken == sorted(broker.taken)


async def test_a_refusal_is_raised_and_no_outage(broker: MemoryBroker, path: Path) -> None:
    broker.refused.add("nowhere")
    async with publishing(path) as publisher:
        with pytest.raises(PublishRefused, match="no queue is bound"):
            await publish(publisher, 1, "nowhere")
        assert publisher.stats().pending == 0
        assert isinstance((await publish(publisher, 1))[0], Confirmed)


async def test_what_is_refused_out_of_the_outbox_is_kept_aside_and_holds_up_nobody(
    broker: MemoryBroker, path: Path
) -> None:
    broker.up.clear()
    broker.refused.add("nowhere")
    async with publishing(path) as publisher:
        [first], [lost, other], [last] = (
            await publish(publisher, 1),
            await publish(publisher, 2, "nowhere"),
            await publish(publisher, 1),
        )
        broker.up.set()
        await publisher.flush()
        assert broker.once == [first.id, last.id]
        assert publisher.stats().failed == 2
    async with publishing(path) as publisher:
        [found, _] = await publisher.failed()
        assert (found.id, found.exchange, found.routing_key, found.body) == (lost.id, "shop", "nowhere", b"{}")
        assert found.headers == {"penstock-key": lost.id}
        assert "no queue is bound" in found.reason
        assert await publisher.discard_failed([other.id]) == 1
        broker.refused.clear()
        assert await publisher.retry_failed([lost.id, "another"]) == 1
        await publisher.flush()
        assert publisher.stats().failed == publisher.stats().byte_size == 0
    assert broker.once == [first.id, last.id, lost.id]


async def test_full_is_an_error_and_drops_nothing(broker: MemoryBroker, path: Path) -> None:
    clock = ManualClock()
    broker.up.clear()
    async with publishing(path, clock, records=2) as publisher:
        stored = await publish(publisher, 2)
        with pytest.raises(JournalFull, match=r"is full: it may hold 2 records; nothing was dropped"):
            await publish(publisher, 1)
        assert publisher.stats().pending == 2
        assert publisher.stats().oldest_age >= 0
        broker.up.set()
        await publisher.flush()
        await publish(publisher, 1)
    assert broker.once[:2] == [receipt.id for receipt in stored]


async def test_a_caller_that_gives_up_takes_no_message_away(broker: MemoryBroker, path: Path) -> None:
    broker.up.clear()
    async with publishing(path) as publisher:
        await publish(publisher, 1)
        caller = asyncio.create_task(publisher.publish("shop", "order", b"{}"))
        await asyncio.sleep(0)
        caller.cancel()
        await asyncio.gather(caller, return_exceptions=True)
        [last] = await publish(publisher, 1)
        broker.up.set()
        await publisher.flush()
        assert len(broker.once) == 3
        assert broker.once[-1] == last.id


async def test_an_outbox_that_is_held_by_another_is_told_at_once(broker: MemoryBroker, path: Path) -> None:
    async with publishing(path):
        with pytest.raises(JournalError, match="is held by process"):
            async with publishing(path):
                pass
    assert broker.taken == []


async def test_it_is_used_while_it_is_open(broker: MemoryBroker, path: Path) -> None:
    publisher = Publisher(Settings(outbox=OutboxSettings(path=str(path))))
    with pytest.raises(UsageError, match="is not open"):
        await publish(publisher, 1)
    async with publisher:
        await publish(publisher, 1)
    with pytest.raises(UsageError, match="is not open"):
        await publish(publisher, 1)
    assert len(broker.taken) == 1


async def test_a_damaged_outbox_is_told_and_takes_more_all_the_same(broker: MemoryBroker, path: Path) -> None:
    broker.up.clear()
    async with publishing(path) as publisher:
        await publish(publisher, 1)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET payload = X'00'")
    broker.up.set()
    async with publishing(path) as publisher:
        await until(lambda: "is damaged" in publisher.stats().trouble, "it is told")
        assert isinstance((await publish(publisher, 1))[0], Stored)
        assert publisher.stats().pending == 2


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 30)),
        st.tuples(st.just("begin"), st.integers(1, 30)),
        st.tuples(st.just("lose after"), st.integers(1, 40)),
        st.tuples(st.sampled_from(["up", "down", "crash", "settle down"]), st.just(0)),
    ),
    max_size=15,
)


@settings(max_examples=60, deadline=None)
@given(STEPS)
def test_whatever_happens_each_publish_that_returned_arrives_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    path = tmp_path_factory.mktemp("model") / "outbox.sqlite"
    with pytest.MonkeyPatch.context() as patch:
        asyncio.run(play(steps, path, patch))


async def play(steps: list[tuple[str, int]], path: Path, patch: pytest.MonkeyPatch) -> None:
    broker = MemoryBroker()
    patch.setattr(penstock.publisher, "Sender", broker.sender)
    settings = Settings(outbox=OutboxSettings(path=str(path)))
    safe: list[str] = []
    under_way: list[asyncio.Task[None]] = []

    async def one(publisher: Publisher) -> None:
        safe.append((await publisher.publish("shop", "order", b"{}")).id)

    clock = ManualClock()
    publisher = await Publisher(settings, clock=clock).__aenter__()
    for step, number in steps:
        match step:
            case "publish":
                await asyncio.gather(*(one(publisher) for _ in range(number)))
            case "begin":
                under_way += [asyncio.create_task(one(publisher)) for _ in range(number)]
                await asyncio.sleep(0)
            case "lose after":
                broker.loses_after = number
            case "up":
                broker.loses_after = None
                broker.up.set()
            case "down":
                broker.up.clear()
            case "settle down":
                await asyncio.gather(*under_way)
            case _:
                await crash(publisher, under_way)
                clock.time += 1
                publisher = await Publisher(settings, clock=clock).__aenter__()
    await asyncio.gather(*under_way, return_exceptions=True)
    broker.loses_after = None
    broker.up.set()
    await publisher.flush()
    await publisher.__aexit__(None, None, None)
    assert set(safe) <= set(broker.taken)
    # Ids are made in the order of the calls.
    assert broker.once == sorted(broker.once)


async def crash(publisher: Publisher, under_way: list[asyncio.Task[None]]) -> None:
    """End as a kill does: what is not committed by now never will be."""
    for task in under_way:
        task.cancel()
    drainer = publisher._drainer  # noqa: SLF001 nothing but a crash ends it like this
    assert drainer is not None
    drainer.outbox._journal._changes.clear()  # noqa: SLF001 as above
    await publisher.__aexit__(None, None, None)
    await asyncio.gather(*under_way, return_exceptions=True)
    under_way.clear()
