"""The next batch is decoded while the one before is written."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pamqp.commands import Basic

from penstock.ahead import STRETCH, Ahead
from penstock.batch import Buffer
from penstock.codec import Codec
from penstock.delivery import SUSPECT_RETURNS
from penstock.record import Record
from penstock.settings import BatchSettings, Limits
from penstock.testing import MemorySink, make_delivery
from support.clock import ManualClock
from support.notes import notes_worker

if TYPE_CHECKING:
    from penstock.delivery import Delivery
    from penstock.outcome import Poison


class Counting(Codec):
    """Remembers what it decoded."""

    def __init__(self) -> None:
        super().__init__(notes_worker(MemorySink()), Limits())
        self.seen: list[Delivery] = []

    def decode(self, delivery: Delivery) -> Record | Poison:
        self.seen.append(delivery)
        return super().decode(delivery)


def deliveries(count: int) -> list[Delivery]:
    return [make_delivery(b'{"id": "%d", "text": ""}' % number) for number in range(count)]


async def turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


async def test_what_waits_is_decoded_once_and_stays() -> None:
    buffer, codec = Buffer(ManualClock()), Counting()
    ahead = Ahead(codec, buffer)
    waiting = deliveries(3 * STRETCH)
    buffer.extend(waiting)
    async with ahead.working(BatchSettings(count=2 * STRETCH)):
        await turns()
    assert codec.seen == waiting[: 2 * STRETCH]
    assert len(buffer) == len(waiting)
    records = [ahead.decoded[one] for one in waiting[: 2 * STRETCH]]
    assert [one.delivery for one in records if isinstance(one, Record)] == codec.seen


async def test_what_comes_while_the_sink_writes_is_decoded_too() -> None:
    buffer, codec = Buffer(ManualClock()), Counting()
    first, second = deliveries(2)
    async with Ahead(codec, buffer).working(BatchSettings(count=10)):
        await turns()
        buffer.extend([first])
        await turns()
        assert codec.seen == [first]
        buffer.extend([second])
        await turns()
        assert codec.seen == [first, second]
        buffer.clear()
        buffer.wake()
        await turns()
    assert codec.seen == [first, second]


async def test_a_suspect_and_what_is_behind_it_are_left_alone() -> None:
    buffer, codec = Buffer(ManualClock()), Counting()
    innocent, behind = deliveries(2)
    came_back = Basic.Properties(headers={"x-delivery-count": SUSPECT_RETURNS})
    suspect = make_delivery(b'{"id": "2", "text": ""}', redelivered=True, properties=came_back)
    buffer.extend([innocent, suspect, behind])
    async with Ahead(codec, buffer).working(BatchSettings(count=10)):
        await turns()
    assert codec.seen == [innocent]


async def test_no_more_bytes_than_a_batch_may_have() -> None:
    buffer, codec = Buffer(ManualClock()), Counting()
    waiting = deliveries(10)
    buffer.extend(waiting)
    async with Ahead(codec, buffer).working(BatchSettings(count=10, byte_size=2 * len(waiting[0].body) + 1)):
        await turns()
    assert codec.seen == waiting[:3]


async def test_what_comes_instead_of_what_was_given_back_is_decoded() -> None:
    buffer, codec = Buffer(ManualClock()), Counting()
    ahead = Ahead(codec, buffer)
    gone, instead = deliveries(2)
    buffer.extend([gone])
    async with ahead.working(BatchSettings(count=10)):
        await turns()
        buffer.clear()
        buffer.extend([instead])
        await turns()
        assert list(ahead.decoded) == [instead]
    assert codec.seen == [gone, instead]


async def test_what_was_given_back_is_forgotten() -> None:
    buffer, codec = Buffer(ManualClock()), Counting()
    ahead = Ahead(codec, buffer)
    [gone] = deliveries(1)
    buffer.extend([gone])
    async with ahead.working(BatchSettings(count=10)):
        await turns()
    assert list(ahead.decoded) == [gone]
    buffer.clear()
    async with ahead.working(BatchSettings(count=10)):
        await turns()
    assert not ahead.decoded
