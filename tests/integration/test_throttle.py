"""Bodies of a megabyte, of which the broker may send many: no more is held than limits.held_bytes says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from penstock.drill.servers.wait import wait_until
from penstock.errors import SinkUnavailable
from penstock.settings import BatchSettings, Limits, QueueSettings
from support import broker
from support.notes import quick, running

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable
    from contextlib import AbstractAsyncContextManager

    from penstock.drill.servers import Server
    from penstock.drill.servers.management import Management
    from penstock.settings import Settings
    from support.notes import Running

    #: Takes what `large` takes beside the address.
    Throttled = Callable[..., AbstractAsyncContextManager[Running]]

MESSAGES = 60
BODY = 1_000_000
LIMIT = 8 * BODY
#: What one read of the socket may bring beyond the limit, and the message it completes.
SLACK = 2 * BODY
#: Seconds after which the client library takes a connection for dead on which it hears nothing: three heartbeats.
SILENCE = 7


def large(url: str, *, fast_receive: bool = True, hold_seconds: float = 60, heartbeat: int = 1) -> Settings:
    limits = Limits(held_bytes=LIMIT, hold_seconds=hold_seconds)
    batch = BatchSettings(count=10, period=0.05, byte_size=3 * BODY)
    settings = quick(url, fast_receive=fast_receive, queue=QueueSettings(prefetch=200), limits=limits, batch=batch)
    rabbitmq = settings.rabbitmq.model_copy(update={"heartbeat": heartbeat})
    return settings.model_copy(update={"rabbitmq": rabbitmq})


async def publish_all(url: str) -> None:
    bodies = [("any", {"id": number, "text": "x" * BODY}) for number in range(MESSAGES)]
    await broker.publish(url, "notes", bodies)


def wait_sent(management: Management, virtual_host: str) -> None:
    wait_until(
        lambda: management.queue(virtual_host, "notes").get("messages_unacknowledged") == MESSAGES, 30, "all are sent"
    )


def held_bytes(worker: Running) -> float:
    return worker.metric("penstock_held_bytes")


@pytest.fixture
def throttled(broker_url: str, virtual_host: str, management: Management) -> Throttled:
    """Starts a worker of which the broker has sent all there is, as it sees it, and that holds no more than it may."""

    @asynccontextmanager
    async def start(**changes: Any) -> AsyncGenerator[Running]:
        async with running(broker_url, large(broker_url, **changes)) as worker:
            worker.sink.hold()
            await publish_all(broker_url)
            await worker.until(lambda: worker.process.link.throttled, "nothing is read any more")
            await asyncio.to_thread(wait_sent, management, virtual_host)
            assert LIMIT < held_bytes(worker) <= LIMIT + SLACK
            yield worker

    return start


async def begin_outage(worker: Running) -> None:
    worker.sink.outage = SinkUnavailable("away")
    worker.sink.let()
    await worker.until(lambda: worker.process.link.paused_for == {"sink"}, "it pauses")


@pytest.mark.parametrize("fast_receive", [True, False])
async def test_no_more_is_held_in_an_outage_longer_than_a_silent_connection_lives(
    broker_url: str, throttled: Throttled, *, fast_receive: bool
) -> None:
    async with throttled(fast_receive=fast_receive) as worker:
        await begin_outage(worker)
        held = worker.process.link.held
        await asyncio.sleep(SILENCE)
        assert worker.process.link.held == held
        assert worker.metric("penstock_paused", reason="memory") == 1
        worker.sink.outage = None
        await worker.settled(MESSAGES)
        assert worker.sink.ids == list(range(MESSAGES))
        assert worker.process.link.generation == 1
        assert worker.metric("penstock_pauses_total", reason="memory") >= 1
        assert not worker.process.link.throttled
    assert await broker.depth(broker_url, "notes") == 0


async def test_a_stop_writes_what_is_held_and_leaves_the_rest_to_the_broker(
    broker_url: str, throttled: Throttled
) -> None:
    async with throttled() as worker:
        stopping = asyncio.create_task(worker.stop())
        await worker.until(lambda: "stopping" in worker.process.link.paused_for, "it drains")
        worker.sink.let()
        await stopping
        written = worker.sink.ids
        assert written == list(range(len(written)))
        assert LIMIT // BODY <= len(written) <= (LIMIT + SLACK) // BODY
    assert await broker.depth(broker_url, "notes") == MESSAGES - len(written)


async def test_what_is_held_too_long_goes_back_with_what_was_never_read(broker_url: str, throttled: Throttled) -> None:
    async with throttled(hold_seconds=0.3) as worker:
        worker.sink.outage = SinkUnavailable("away")
        worker.sink.let()
        await worker.until(lambda: worker.process.link.generation == 2, "it has given back")
        assert worker.process.link.held == 0
        worker.sink.outage = None
        await worker.settled(MESSAGES)
        assert list(dict.fromkeys(worker.sink.ids)) == list(range(MESSAGES))
    assert await broker.depth(broker_url, "notes") == 0


async def test_new_settings_take_effect_once_it_reads_again(broker_url: str, throttled: Throttled) -> None:
    async with throttled() as worker:
        link = worker.process.link
        worker.process.reload(large(broker_url).model_copy(update={"queue": QueueSettings(prefetch=300)}))
        link.renew_consumer()
        worker.sink.let()
        await worker.settled(MESSAGES)
        await worker.until(lambda: link.buffer.ahead == 300 and link.consuming, "it consumes anew")
        assert worker.sink.ids == list(range(MESSAGES))


async def test_a_broker_that_stops_is_noticed_without_being_read(own_rabbitmq: Server) -> None:
    async with running(own_rabbitmq.url, large(own_rabbitmq.url, heartbeat=600)) as worker:
        worker.sink.hold()
        await publish_all(own_rabbitmq.url)
        await worker.until(lambda: worker.process.link.throttled, "nothing is read any more")
        stopping = asyncio.create_task(asyncio.to_thread(own_rabbitmq.stop))
        await worker.until(lambda: not worker.process.link.connected, "it has noticed")
        await stopping
        await asyncio.to_thread(own_rabbitmq.start)
        worker.sink.let()
        await worker.consuming(generation=2)
        await worker.until(lambda: set(worker.sink.ids) == set(range(MESSAGES)), "all are written", 60)


async def test_a_stop_in_an_outage_gives_everything_back(broker_url: str, throttled: Throttled) -> None:
    async with throttled() as worker:
        await begin_outage(worker)
        await worker.stop()
        await worker.process.close()
        assert not worker.process.link.throttled
    assert await broker.depth(broker_url, "notes") == MESSAGES
