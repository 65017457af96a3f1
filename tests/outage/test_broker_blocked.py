"""A memory alarm: the broker takes no messages, and worker and publisher know it with the first they send.

The broker tells a connection only once that has published under the alarm, whatever it published before.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from penstock import Confirmed, Publisher, Stored
from penstock.errors import BrokerBlocked
from penstock.settings import OutboxSettings, RabbitMQ, RetrySettings, Settings
from support import broker
from support.notes import quick, running
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.drill.servers import Server

#: Seconds that no test waits for.
NEVER = 600.0


@asynccontextmanager
async def alarm(server: Server) -> AsyncIterator[None]:
    """The broker takes the memory that it has for too much of it."""
    await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "0.00001")
    try:
        yield
    finally:
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "absolute", "1GB")


def to(url: str, path: Path | None = None, publish_timeout: float = NEVER) -> Publisher:
    settings = Settings(
        rabbitmq=RabbitMQ(url=SecretStr(url), publish_timeout=publish_timeout),
        outbox=OutboxSettings(path=str(path) if path else None),
        # It has to be told that the alarm is over: it does not try in between.
        retry=RetrySettings(min=NEVER, max=NEVER),
    )
    return Publisher(settings)


@pytest.fixture
async def queue(server: Server) -> str:
    """The empty queue `orders`, bound to all of the exchange `shop`."""
    async with broker.channel(server.url) as channel:
        await channel.queue_delete("orders")
    await broker.declare_queue(server.url, "orders", "shop", {"x-queue-type": "quorum"})
    return "orders"


async def publish(publisher: Publisher, numbers: range) -> list[type]:
    async with asyncio.timeout(20):
        receipts = await asyncio.gather(*(publisher.publish("shop", "order", b"%d" % number) for number in numbers))
    return [type(receipt) for receipt in receipts]


async def test_a_publish_goes_to_the_outbox_at_once_and_out_of_it_when_the_alarm_is_over(
    server: Server, queue: str, tmp_path: Path
) -> None:
    async with to(server.url, tmp_path / "outbox.sqlite") as publisher:
        assert await publish(publisher, range(100)) == [Confirmed] * 100
        async with alarm(server):
            assert await publish(publisher, range(100, 300)) == [Stored] * 200
            assert publisher.stats().trouble == "the broker takes no messages: low on memory"
            assert await publish(publisher, range(300, 400)) == [Stored] * 100
            assert publisher.stats().pending == 300
        async with asyncio.timeout(20):
            await publisher.flush()
        assert publisher.stats().trouble == ""
        assert await publish(publisher, range(400, 500)) == [Confirmed] * 100
    found = [int(message.body) for message in await broker.take_all(server.url, queue)]
    # What was under way when the notice came stands before it comes again: it is sent on the same connection.
    repeated = len(found) - 500
    assert found == [*range(100 + repeated), *range(100, 500)]


async def test_a_publisher_that_begins_under_an_alarm_keeps_the_order(
    server: Server, queue: str, tmp_path: Path
) -> None:
    async with alarm(server), to(server.url, tmp_path / "outbox.sqlite") as publisher:
        assert await publish(publisher, range(300)) == [Stored] * 300
        assert publisher.stats().trouble == "the broker takes no messages: low on memory"
        assert await publish(publisher, range(300, 400)) == [Stored] * 100
        await asyncio.to_thread(server.control, "set_vm_memory_high_watermark", "absolute", "1GB")
        async with asyncio.timeout(20):
            await publisher.flush()
        assert await publish(publisher, range(400, 500)) == [Confirmed] * 100
    found = [int(message.body) for message in await broker.take_all(server.url, queue)]
    repeated = len(found) - 500
    assert found == [*range(repeated), *range(500)]


async def test_an_alarm_that_ends_with_the_broker_ends_for_the_publisher(
    server: Server, queue: str, tmp_path: Path
) -> None:
    await asyncio.sleep(broker.YOUNG)
    async with to(server.url, tmp_path / "outbox.sqlite") as publisher:
        assert await publish(publisher, range(10)) == [Confirmed] * 10
        async with alarm(server):
            assert await publish(publisher, range(10, 20)) == [Stored] * 10
            await asyncio.to_thread(server.kill)
            await until(lambda: "takes no messages" not in publisher.stats().trouble, "the connection is gone")
            await asyncio.to_thread(server.start)
    assert publisher.stats().pending == 10
    async with to(server.url, tmp_path / "outbox.sqlite") as publisher:
        async with asyncio.timeout(20):
            await publisher.flush()
    assert [int(message.body) for message in await broker.take_all(server.url, queue)] == list(range(20))


async def test_without_an_outbox_a_publish_waits_for_its_time_limit(server: Server, queue: str) -> None:
    async with to(server.url, publish_timeout=1) as publisher, alarm(server):
        with pytest.raises(BrokerBlocked, match=r"not confirmed by shop: the broker takes no messages: low on memory"):
            await publish(publisher, range(1))
        with pytest.raises(BrokerBlocked, match=r"takes no messages: low on memory, for longer than 1 s"):
            await publish(publisher, range(1, 2))
    async with to(server.url) as publisher:
        async with alarm(server):
            waiting = [asyncio.create_task(publish(publisher, range(2, 3)))]
            await until(lambda: publisher.stats().trouble != "", "it is told, having published")
            waiting.append(asyncio.create_task(publish(publisher, range(3, 4))))
            await asyncio.sleep(0.1)
            assert not any(one.done() for one in waiting)
        assert await asyncio.gather(*waiting) == [[Confirmed]] * 2
        # The first one was under way when its publish raised; the second was never sent.
        found = [int(message.body) for message in await broker.take_all(server.url, queue)]
        assert sorted(found) == [0, 2, 3]


async def test_a_worker_shows_the_alarm_and_goes_on_when_it_is_over(server: Server) -> None:
    async with running(server.url, quick(server.url), name="alarmed") as worker:
        assert worker.process.health()["broker"]["blocked"] is None
        worker.sink.hold()
        await worker.publish(range(10))
        await worker.until(lambda: worker.sink.entered == 1, "the first batch is with the sink")
        await broker.publish(worker.url, worker.name, [("any", b"no JSON")])
        await worker.publish(range(10, 15))
        await worker.until(lambda: worker.process.link.held == 16, "all are delivered")
        async with alarm(server):
            worker.sink.let()
            await worker.until(lambda: worker.metric("penstock_broker_blocked") == 1, "it is told")
            assert worker.process.health()["broker"]["blocked"] == "low on memory"
            # What stands behind the letter's batch waits with it.
            await worker.until(lambda: worker.sink.ids[:10] == list(range(10)), "what came before is written")
            assert worker.process.link.held > 0
        await worker.settled(16)
        assert worker.sink.ids == list(range(15))
        await worker.until(lambda: worker.metric("penstock_broker_blocked") == 0, "it is told that it is over")
        assert worker.process.health()["broker"]["blocked"] is None
        await worker.stop()
    assert await broker.depth(server.url, "alarmed") == 0
    assert await broker.depth(server.url, "alarmed.dlq") == 1
