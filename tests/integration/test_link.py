"""What can happen to the link, and what is in the sink afterwards."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.drill.servers.wait import wait_until
from penstock.errors import SinkUnavailable
from penstock.link import Link
from penstock.settings import BatchSettings, FuseSettings, Limits, QueueSettings, RetrySettings
from support import broker
from support.clock import WatchedClock
from support.notes import quick, running
from support.wait import until

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    from penstock.drill.servers.management import Management

CONSUMING = "penstock notes consume"


async def test_a_queue_deleted_and_declared_anew_gets_none_of_the_old_acks(
    broker_url: str, virtual_host: str, management: Management
) -> None:
    async with running(broker_url) as worker:
        worker.sink.hold()
        await worker.publish(range(5))
        await worker.until(lambda: worker.sink.entered == 1, "the first batch is with the sink")
        await delete_queue(broker_url, "notes")
        await worker.consuming(generation=2)
        # The new queue delivers 1 to 15, and the old tags 1 to 5 are still to be settled.
        await worker.publish(range(5, 20))
        await worker.until(lambda: worker.process.link.held == 15, "the new ones are delivered")
        worker.sink.let(1)
        await worker.until(lambda: worker.metric("penstock_stale_settlements_total") == 5, "the old ones are stale")
        await worker.until(lambda: worker.sink.entered == 2, "the next batch is with the sink")
        await asyncio.to_thread(management.wait_for_messages, virtual_host, "notes", 15)
        assert worker.process.link.held == 15
        worker.sink.let()
        await worker.settled(20)
        await worker.stop()
        assert sorted(worker.sink.ids) == list(range(20))
    assert await broker.depth(broker_url, "notes") == 0


async def test_a_queue_that_is_missing_for_a_while_is_taken_up_again(broker_url: str) -> None:
    async with running(broker_url) as worker:
        worker.process.reload(quick(broker_url, queue=QueueSettings(topology="check")))
        await delete_queue(broker_url, "notes")
        await worker.until(lambda: not worker.process.link.connected, "the generation has ended")
        assert worker.process.ready() == "the broker is away"
        await broker.declare_queue(broker_url, "notes", "notes", {"x-queue-type": "quorum"})
        await worker.publish(range(7))
        await worker.settled(7)
        assert worker.sink.ids == list(range(7))


async def test_a_queue_nobody_declares_is_not_asked_for_in_a_tight_loop(broker_url: str) -> None:
    clock = WatchedClock()
    settings = quick(broker_url, queue=QueueSettings(topology="none"), retry=RetrySettings(min=0.3, max=0.3, jitter=0))
    async with running(broker_url) as first:
        await first.stop()
    async with running(broker_url, settings, clock=clock) as worker:
        await delete_queue(broker_url, "notes")
        await worker.until(lambda: clock.slept.count(0.3) >= 3, "it waits between its tries")
        assert worker.process.link.generation <= 5
        await broker.declare_queue(broker_url, "notes", "notes", {"x-queue-type": "quorum"})
        await worker.publish(range(7))
        await worker.settled(7)
        assert worker.sink.ids == list(range(7))


async def test_a_connection_closed_under_a_batch_leads_to_duplicates_and_no_second_row(
    broker_url: str, management: Management
) -> None:
    async with running(broker_url) as worker:
        worker.sink.hold()
        await worker.publish(range(25))
        await worker.until(lambda: worker.process.link.held == 25, "all are held")
        await worker.until(lambda: worker.sink.entered == 1, "the first batch is with the sink")
        # On an idle queue it is what came in one read.
        first = len(worker.process.consumer.held)
        assert worker.metric("penstock_held_messages") == 25
        assert worker.metric("penstock_held_bytes") == sum(len(b'{"id": %d}' % number) for number in range(25))
        await asyncio.to_thread(management.close_connection, CONSUMING)
        await worker.consuming(generation=2)
        await worker.until(lambda: worker.process.link.held == 25, "all are delivered again")
        worker.sink.let()
        await worker.settled(25 + first)
        assert worker.metric("penstock_stale_settlements_total") == first
        assert worker.metric("penstock_outcomes_total", outcome="written") == 25
        assert worker.metric("penstock_outcomes_total", outcome="duplicate") == first
        assert worker.metric("penstock_settled_messages_total", settlement="ack") == 25
        assert worker.metric("penstock_received_messages_total") == 50
        assert worker.metric("penstock_held_messages") == 0
        assert worker.metric("penstock_held_bytes") == 0
        await worker.stop()
        assert set(worker.sink.states) == set(range(25))
    assert await broker.depth(broker_url, "notes") == 0


@pytest.mark.parametrize("fast_receive", [True, False])
async def test_deliveries_come_in_order_over_pauses_on_both_paths(broker_url: str, *, fast_receive: bool) -> None:
    async with running(broker_url, quick(broker_url, fast_receive=fast_receive)) as worker:
        link = worker.process.link
        assert link._connection is not None  # noqa: SLF001 nothing else says which path is taken
        assert (link._connection.receiver is not None) is fast_receive  # noqa: SLF001
        await worker.publish(range(30))
        await link.pause("test")
        await worker.publish(range(30, 60))
        await link.resume("test")
        await worker.publish([60], large="x" * 100_000)
        await worker.settled(61)
        assert worker.sink.ids == list(range(61))
        assert worker.metric("penstock_received_messages_total") == 61
        assert worker.metric("penstock_channel_generation") == 1
        await worker.stop()
    assert await broker.depth(broker_url, "notes") == 0


async def test_bytes_that_are_no_amqp_end_the_generation_and_nothing_is_lost(broker_url: str) -> None:
    async with running(broker_url) as worker:
        worker.sink.hold()
        await worker.publish(range(25))
        await worker.until(lambda: worker.process.link.held == 25, "all are held")
        connection = worker.process.link._connection  # noqa: SLF001 no broker can be made to send that
        assert connection is not None
        assert connection.receiver is not None
        connection.receiver.feed_data(b"\x01\x00\x01\x00\x00\x00\x01?!")
        await worker.consuming(generation=2)
        await worker.until(lambda: worker.process.link.held == 25, "all are delivered again")
        worker.sink.let()
        await worker.until(lambda: len(worker.sink.states) == 25 and not worker.process.link.held, "all written")
        assert worker.metric("penstock_settled_messages_total", settlement="ack") == 25
        await worker.stop()
    assert await broker.depth(broker_url, "notes") == 0


async def test_a_consumer_that_died_in_silence_is_rebuilt(broker_url: str) -> None:
    settings = quick(broker_url, queue=QueueSettings(watchdog=0.1))
    async with running(broker_url, settings) as worker:
        generation = worker.process.link._current  # noqa: SLF001 behind its back is the point
        assert generation is not None
        assert generation.consumer_tag is not None
        await generation.channel.basic_cancel(generation.consumer_tag)
        await worker.publish(range(12))
        await worker.settled(12)
        assert worker.process.link.generation == 2
        assert worker.metric("penstock_consumer_rebuilt_total") == 1
        assert worker.sink.ids == list(range(12))


async def test_a_consumer_that_has_nothing_to_do_is_left_alone(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    seeing = Link.look

    async def look(link: Link) -> int | None:
        nonlocal looks
        looks += 1
        return await seeing(link)

    monkeypatch.setattr(Link, "look", look)
    settings = quick(broker_url, queue=QueueSettings(watchdog=0.05))
    async with running(broker_url, settings) as worker:
        await worker.until(lambda: looks >= 5, "five looks")
        assert worker.process.link.generation == 1
        assert worker.metric("penstock_consumer_rebuilt_total") == 0


async def test_what_is_held_too_long_goes_back_in_order_and_is_written_later(broker_url: str) -> None:
    settings = quick(broker_url, limits=Limits(hold_seconds=0.3))
    async with running(broker_url, settings) as worker:
        worker.sink.hold()
        await worker.publish(range(25))
        await worker.until(lambda: worker.process.link.held == 25, "all are held")
        worker.sink.outage = SinkUnavailable("away")
        worker.sink.let()
        await worker.until(lambda: worker.process.link.paused_for == {"sink"}, "it pauses")
        await worker.until(lambda: worker.process.link.generation == 2, "it has given back")
        assert worker.process.link.held == 0
        seen: list[AbstractIncomingMessage] = []

        async def see(message: AbstractIncomingMessage) -> None:
            seen.append(message)

        async with broker.channel(broker_url) as other:
            await (await other.get_queue("notes")).consume(see)
            await until(lambda: len(seen) == 25, "another consumer gets them")
        assert [message.body for message in seen] == [b'{"id": %d}' % number for number in range(25)]
        assert all(message.redelivered for message in seen)
        assert worker.metric("penstock_outcomes_total") == 0
        worker.sink.outage = None
        await worker.settled(25)
        assert worker.sink.ids == list(range(25))
        await worker.stop()
    assert await broker.depth(broker_url, "notes.dlq") == 0


async def test_an_endpoint_that_answers_but_takes_nothing_holds_no_longer_than_one_that_is_away(
    broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each probe succeeds and each write fails, as with a full disk: the time goes on counting."""
    settings = quick(broker_url, limits=Limits(hold_seconds=0.5))
    async with running(broker_url, settings) as worker:

        async def fail(_batch: object) -> list[object]:
            raise SinkUnavailable("disk full")

        monkeypatch.setattr(worker.sink, "write", fail)
        await worker.publish(range(3))
        await worker.until(lambda: worker.process.link.generation >= 2, "it has given back", 5)
        monkeypatch.undo()
        await worker.settled(3)
        assert worker.sink.ids == [0, 1, 2]


async def test_prefetch_is_never_below_twice_the_batch(
    broker_url: str, virtual_host: str, management: Management
) -> None:
    settings = quick(broker_url, batch=BatchSettings(count=150), queue=QueueSettings(prefetch=10))
    async with running(broker_url, settings):

        def consumers() -> list[int]:
            details = management.queue(virtual_host, "notes").get("consumer_details", [])
            return [consumer["prefetch_count"] for consumer in details]

        await asyncio.to_thread(wait_until, lambda: consumers() == [300], 20, "a consumer with a prefetch of 300")


async def test_the_letters_in_the_dlq_are_counted_and_those_taken_out_are_not(broker_url: str) -> None:
    settings = quick(broker_url, queue=QueueSettings(watchdog=0.1), fuse=FuseSettings(percent=100))
    async with running(broker_url, settings) as worker:

        def letters() -> float:
            return worker.metric("penstock_dead_letter_queue_depth")

        assert letters() == 0
        await broker.publish(broker_url, "notes", [("any", b"no JSON")] * 3)
        await worker.until(lambda: letters() == 3, "three letters are seen")
        assert len(await broker.take_all(broker_url, "notes.dlq")) == 3
        await worker.until(lambda: letters() == 0, "none is seen")
        assert worker.process.link.generation == 1


async def test_a_lone_note_on_an_idle_queue_does_not_wait_for_the_period(broker_url: str) -> None:
    clock = WatchedClock()
    async with running(broker_url, quick(broker_url, batch=BatchSettings(period=5)), clock=clock) as worker:
        clock.ahead = 60
        await worker.publish([1])
        await until(lambda: worker.sink.ids == [1], "written in less than the period", 3)
        assert worker.metric("penstock_batch_size_count") == 1


async def delete_queue(url: str, name: str) -> None:
    async with broker.channel(url) as channel:
        await channel.queue_delete(name)
