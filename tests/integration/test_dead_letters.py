"""Dead letters: what is in them, and what happens while the DLQ does not take them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest

from penstock.settings import QueueSettings
from support import broker
from support.clock import WatchedClock
from support.notes import declare, quick, running

if TYPE_CHECKING:
    from penstock.drill.servers.management import Management
    from support.notes import Running

POISON = b"not JSON"
#: How the DLQ is when it takes nothing: it is not there, and the letter comes back; or it is full, and refuses.
FULL: dict[str, str | int] = {"x-queue-type": "classic", "x-max-length": 0, "x-overflow": "reject-publish"}


async def break_queue(url: str, how: str) -> None:
    """Take the DLQ away; or put a full one in its place."""
    async with broker.channel(url) as channel:
        await channel.queue_delete("notes.dlq")
        if how == "full":
            await channel.declare_queue("notes.dlq", durable=True, arguments=dict(FULL))


async def mend_queue(url: str) -> None:
    async with broker.channel(url) as channel:
        await channel.queue_delete("notes.dlq")
        await channel.declare_queue("notes.dlq", durable=True)


async def held_up(worker: Running, clock: WatchedClock) -> None:
    """Return when the worker has paused for a letter and tried three times more."""
    await worker.until(lambda: worker.process.link.paused_for == {"dead_letter"}, "it pauses")
    before = len(clock.slept)
    await worker.until(lambda: len(clock.slept) >= before + 3, "it goes on trying")
    assert not worker.process.link.consuming
    assert "not confirmed" in str(worker.process.ready())


@pytest.mark.parametrize("how", ["missing", "full"])
async def test_a_letter_that_is_not_confirmed_is_held_until_it_is(
    broker_url: str, virtual_host: str, management: Management, how: str
) -> None:
    await declare(broker_url)
    clock = WatchedClock()
    settings = quick(broker_url, queue=QueueSettings(topology="check"))
    async with running(broker_url, settings, clock=clock) as worker:
        await break_queue(broker_url, how)
        await broker.publish(broker_url, "notes", [("any", {"id": 1}), ("any", POISON), ("any", {"id": 2})])
        await held_up(worker, clock)
        # The bad one is not acked, and so is not the one behind it; nothing goes round.
        await asyncio.to_thread(management.wait_for_messages, virtual_host, "notes", 2)
        assert worker.sink.ids == [1, 2]
        assert worker.metric("penstock_received_messages_total") == 3
        assert worker.metric("penstock_dead_lettered_total") == 0
        # What comes now waits in the queue.
        await worker.publish([3])
        assert worker.metric("penstock_received_messages_total") == 3

        await mend_queue(broker_url)
        await worker.settled(4)
        assert worker.process.ready() is None
        assert worker.sink.ids == [1, 2, 3]
        assert worker.metric("penstock_received_messages_total") == 4
        assert worker.metric("penstock_dead_lettered_total", reason="not_json") == 1
        assert worker.metric("penstock_settled_messages_total", settlement="ack") == 3
        assert worker.metric("penstock_settled_messages_total", settlement="dead_letter") == 1
        await worker.stop()
    assert [letter.body for letter in await broker.take_all(broker_url, "notes.dlq")] == [POISON]
    assert await broker.depth(broker_url, "notes") == 0


async def test_a_letter_held_at_the_end_goes_back_to_the_queue(broker_url: str) -> None:
    clock = WatchedClock()
    settings = quick(broker_url, queue=QueueSettings(topology="check"))
    await declare(broker_url)
    async with running(broker_url, settings, clock=clock) as worker:
        await break_queue(broker_url, "missing")
        await broker.publish(broker_url, "notes", [("any", {"id": 1}), ("any", POISON)])
        await held_up(worker, clock)
        await worker.stop()
    assert [message.body for message in await broker.take_all(broker_url, "notes")] == [POISON]


async def test_two_letters_with_one_message_id_are_both_held(broker_url: str) -> None:
    """The client library tells returned messages apart by their id; publishers do not always."""
    clock = WatchedClock()
    settings = quick(broker_url, queue=QueueSettings(topology="check"))
    await declare(broker_url)
    async with running(broker_url, settings, clock=clock) as worker:
        await break_queue(broker_url, "missing")
        worker.sink.hold()
        await worker.publish([1])
        for number in range(5):
            await send(broker_url, b"bad %d" % number, message_id="always the same")
        await worker.until(lambda: worker.process.link.held == 6, "all are delivered")
        worker.sink.let()
        await held_up(worker, clock)
        assert worker.metric("penstock_dead_lettered_total") == 0
        await mend_queue(broker_url)
        await worker.settled(6)
    letters = await broker.take_all(broker_url, "notes.dlq")
    assert [letter.body for letter in letters] == [b"bad %d" % number for number in range(5)]


async def test_a_letter_is_the_message_with_its_context_and_without_what_the_broker_wrote(broker_url: str) -> None:
    timestamp = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)
    broker_owned = {
        "x-death": [{"count": 3, "queue": "elsewhere", "reason": "expired"}],
        "x-first-death-queue": "elsewhere",
        "x-first-death-reason": "expired",
        "x-last-death-queue": "elsewhere",
        "x-delivery-count": 7,
    }
    own = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", "x-mine": 5, "nested": {"a": [1]}}
    properties = {
        "message_id": "m-1",
        "correlation_id": "c-1",
        "content_type": "text/plain",
        "content_encoding": "utf-8",
        "reply_to": "answers",
        "app_id": "shop",
        "type": "note",
        "priority": 3,
    }
    body = b"\x00\xff not JSON \x00"
    async with running(broker_url) as worker:
        await send(broker_url, body, headers={**own, **broker_owned}, timestamp=timestamp, expiration=60, **properties)
        await worker.settled(1)
    [letter] = await broker.take_all(broker_url, "notes.dlq")
    assert letter.body == body
    assert {name: getattr(letter, name) for name in properties} == properties
    assert letter.timestamp == timestamp
    assert letter.expiration is None
    assert letter.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert {name: letter.headers[name] for name in own} == own
    assert not broker_owned.keys() & letter.headers.keys()
    added = {name for name in letter.headers if name not in own}
    assert all(name.startswith("penstock-") for name in added), added


@pytest.mark.parametrize("name", ["penstock-attempts", "penstock-replays", "penstock-key"])
@pytest.mark.parametrize("value", ["many", None, [1], -1, 2**62])
async def test_headers_of_ours_that_somebody_else_wrote_stop_nothing(broker_url: str, name: str, value: Any) -> None:
    async with running(broker_url) as worker:
        await send(broker_url, POISON, headers={name: value})
        await worker.publish([1], **{name: value})
        await worker.settled(2)
        assert worker.sink.ids == [1]
    assert [letter.body for letter in await broker.take_all(broker_url, "notes.dlq")] == [POISON]


async def send(url: str, body: bytes, **properties: Any) -> None:
    async with broker.channel(url) as channel:
        exchange = await channel.get_exchange("notes")
        await exchange.publish(aio_pika.Message(body, **properties), "any")
