"""Deliveries that came back often: tried alone and in order, noted while they are, and dead-lettered by the notes."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from penstock.errors import SinkUnavailable
from penstock.outcome import Transient
from penstock.settings import QueueSettings, RetrySettings
from penstock.testing import MemorySink
from penstock.topology import topology_of
from support import broker
from support.notes import declare, notes_worker, quick, running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from support.notes import Running

NOTES = "notes.suspects"


@asynccontextmanager
async def suspected(url: str, count: int, **sections: Any) -> AsyncIterator[Running]:
    """A worker before so many notes that came back three times; its sink lets nothing through."""
    sections.setdefault("queue", QueueSettings(max_deliveries=2))
    settings = quick(url, **sections)
    await declare(url, {**topology_of(notes_worker(MemorySink()), settings).queue.arguments})
    await broker.publish(url, "notes", [("any", {"id": number}) for number in range(count)])
    for _ in range(3):
        await broker.take_and_leave(url, "notes", count)
    async with running(url, settings) as worker:
        worker.sink.hold()
        yield worker


async def tried(worker: Running) -> None:
    """Return once a suspect is with the sink, alone."""
    await worker.until(lambda: worker.sink.entered > 0, "it is with the sink")
    assert worker.process.suspects.under_way


async def test_each_is_written_alone_in_the_order_of_the_queue_and_no_note_is_left(broker_url: str) -> None:
    async with suspected(broker_url, 12) as worker:
        await tried(worker)
        await worker.publish(range(12, 20))
        await worker.until(lambda: worker.process.link.held == 20, "all are held")
        worker.sink.let()
        await worker.settled(20)
        found = [[record.row["id"] for record in batch.records] for batch in worker.sink.batches]
        assert found == [*([number] for number in range(12)), list(range(12, 20))]
        assert worker.metric("penstock_suspects_total") == 12
        assert worker.metric("penstock_dead_lettered_total") == 0
        await worker.stop()
    assert await broker.depth(broker_url, NOTES) == 0


async def test_an_outage_while_one_is_tried_is_no_death_of_it(broker_url: str) -> None:
    async with suspected(broker_url, 1) as worker:
        await tried(worker)
        worker.sink.outage = SinkUnavailable("away")
        worker.sink.let()
        await worker.until(lambda: worker.process.link.paused_for == {"sink"}, "it pauses")
        await worker.until(lambda: not worker.process.suspects.under_way, "it survived")
        worker.sink.outage = None
        await worker.settled(1)
    assert await broker.depth(broker_url, NOTES) == 0


async def test_a_wait_in_place_is_no_death_of_it(broker_url: str) -> None:
    async with suspected(broker_url, 1, retry=RetrySettings(min=3600, max=3600)) as worker:
        await tried(worker)
        worker.sink.refuses = lambda _: Transient("deadlock", "E", "m")
        worker.sink.let()
        await worker.until(lambda: not worker.process.suspects.under_way, "it survived")
    assert await broker.depth(broker_url, NOTES) == 0


async def test_the_end_of_the_process_in_good_order_is_no_death_of_it(broker_url: str) -> None:
    async with suspected(broker_url, 1) as worker:
        await tried(worker)
    assert await broker.depth(broker_url, NOTES) == 0
    assert await broker.depth(broker_url, "notes") == 1


async def test_as_many_notes_as_it_may_have_condemn_it_and_it_alone(broker_url: str) -> None:
    async with suspected(broker_url, 2) as worker:
        await tried(worker)
        name = worker.process.suspects.under_way
    for note in (name, name, "another"):
        await broker.publish(broker_url, "", [(NOTES, note.encode())])
    async with running(broker_url, quick(broker_url, queue=QueueSettings(max_deliveries=2))) as worker:
        await worker.settled(2)
        assert worker.sink.ids == [1]
        assert worker.metric("penstock_dead_lettered_total", reason="worker_died") == 1
        await worker.stop()
    [letter] = await broker.take_all(broker_url, "notes.dlq")
    assert letter.body == b'{"id": 0}'
    # Its own notes are gone, those of others stay.
    assert [note.body for note in await broker.take_all(broker_url, NOTES)] == [b"another"]


async def test_a_condemned_one_keeps_its_notes_until_its_letter_is_confirmed(broker_url: str) -> None:
    async with suspected(broker_url, 1) as worker:
        await tried(worker)
        name = worker.process.suspects.under_way
    for note in (name, name):
        await broker.publish(broker_url, "", [(NOTES, note.encode())])
    async with broker.channel(broker_url) as channel:
        await channel.queue_delete("notes.dlq")
    settings = quick(broker_url, queue=QueueSettings(max_deliveries=2, topology="none"))
    async with running(broker_url, settings) as worker:
        await worker.until(lambda: "dead_letter" in worker.process.link.paused_for, "it pauses")
    assert await broker.depth(broker_url, NOTES) == 2
    assert await broker.depth(broker_url, "notes") == 1


async def test_without_a_queue_for_notes_it_is_tried_all_the_same(broker_url: str) -> None:
    async with suspected(broker_url, 2) as worker:
        await tried(worker)
        async with broker.channel(broker_url) as channel:
            await channel.queue_delete(NOTES)
        worker.sink.let()
        await worker.settled(2)
        assert worker.sink.ids == [0, 1]
