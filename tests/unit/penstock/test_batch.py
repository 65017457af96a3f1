"""Taking batches, and collapsing them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from penstock.batch import Buffer, collapse
from penstock.clock import SystemClock
from penstock.settings import BatchSettings
from penstock.testing import make_delivery, make_record

if TYPE_CHECKING:
    from penstock.delivery import Delivery


def filled(count: int, body: bytes = b"x") -> Buffer:
    buffer = Buffer(SystemClock())
    for tag in range(1, count + 1):
        buffer.extend([make_delivery(body, tag=tag)])
    return buffer


async def test_a_batch_is_full_by_count() -> None:
    buffer = filled(5)
    taken = await buffer.take(BatchSettings(count=3, period=60))
    assert [delivery.tag for delivery in taken] == [1, 2, 3]
    assert (len(buffer), buffer.byte_size) == (2, 2)


async def test_a_batch_is_full_by_bytes() -> None:
    buffer = filled(5, b"x" * 10)
    taken = await buffer.take(BatchSettings(count=100, byte_size=25, period=60))
    assert [delivery.tag for delivery in taken] == [1, 2, 3]


async def test_nothing_is_waited_for_that_cannot_come() -> None:
    buffer = filled(2)
    buffer.ahead = 2
    async with asyncio.timeout(5):
        assert len(await buffer.take(BatchSettings(count=100, period=3600))) == 2


def returned(tag: int, returns: object, *, redelivered: bool = True) -> Delivery:
    properties = Basic.Properties(headers={"x-delivery-count": returns})
    return make_delivery(b"x", tag=tag, redelivered=redelivered, properties=properties)


@given(st.lists(st.sampled_from([0, 1, 2, 3, 4, 1000]), max_size=20), st.integers(1, 6))
async def test_a_suspect_is_a_batch_of_its_own_in_its_turn(returns: list[int], count: int) -> None:
    buffer = Buffer(SystemClock())
    for tag, times in enumerate(returns):
        buffer.extend([returned(tag, times)])
    batches: list[list[int]] = []
    async with asyncio.timeout(5):
        while len(buffer):
            taken = await buffer.take(BatchSettings(count=count, period=0))
            assert len(taken) == 1 or not any(delivery.is_suspect for delivery in taken)
            batches.append([delivery.tag for delivery in taken])
    assert [tag for batch in batches for tag in batch] == list(range(len(returns)))
    assert all(len(batch) <= count for batch in batches)
    assert buffer.byte_size == 0


async def test_nothing_is_waited_for_before_a_suspect() -> None:
    buffer = Buffer(SystemClock())
    buffer.extend([returned(1, 3)])
    async with asyncio.timeout(5):
        assert len(await buffer.take(BatchSettings(count=100, period=3600))) == 1


def test_only_the_broker_makes_a_suspect() -> None:
    assert returned(1, 3).is_suspect
    assert not returned(1, 2).is_suspect
    assert not returned(1, "many").is_suspect
    # A publisher may write that header too, of a message that never came back.
    assert not returned(1, 7, redelivered=False).is_suspect


async def test_what_there_is_leaves_after_the_period() -> None:
    taken = await filled(2).take(BatchSettings(count=100, period=0.01))
    assert len(taken) == 2


async def test_a_lone_message_on_an_idle_queue_does_not_wait_for_the_period() -> None:
    buffer = Buffer(IdleClock())
    taking = asyncio.create_task(buffer.take(BatchSettings(count=100, period=3600)))
    await asyncio.sleep(0)
    buffer.extend([make_delivery(tag=1)])
    async with asyncio.timeout(5):
        assert [delivery.tag for delivery in await taking] == [1]


class IdleClock:
    """Between two looks at it more than any period has passed."""

    def __init__(self) -> None:
        self._time = 0.0

    def monotonic(self) -> float:
        self._time += 10_000
        return self._time


async def test_waking_gives_what_there_is() -> None:
    empty = Buffer(SystemClock())
    taking = asyncio.create_task(empty.take(BatchSettings(period=0)))
    await asyncio.sleep(0)
    empty.wake()
    async with asyncio.timeout(5):
        assert await taking == []


async def test_a_closed_buffer_gives_what_there_is_and_waits_no_more() -> None:
    buffer = filled(2)
    taking = asyncio.create_task(buffer.take(BatchSettings(count=100, period=3600)))
    await asyncio.sleep(0)
    buffer.close()
    async with asyncio.timeout(5):
        assert [delivery.tag for delivery in await taking] == [1, 2]
        assert await buffer.take(BatchSettings(period=3600)) == []
        buffer.extend([make_delivery(tag=3)])
        assert [delivery.tag for delivery in await buffer.take(BatchSettings(period=3600))] == [3]


async def test_clearing_forgets_everything() -> None:
    buffer = filled(3)
    buffer.clear()
    assert (len(buffer), buffer.byte_size, buffer.oldest) == (0, 0, None)


KEYS = st.lists(st.tuples(st.sampled_from("abc"), st.none() | st.integers(0, 3)), max_size=12)


@given(KEYS)
def test_each_group_is_carried_by_its_newest(keys: list[tuple[str, int | None]]) -> None:
    records = [make_record({}, name, version=version) for name, version in keys]
    groups = collapse(records)
    assert sorted(position for group in groups for position in group) == list(range(len(records)))
    for group in groups:
        assert len({records[position].natural_key for position in group}) == 1
        versions = [records[position].version for position in group]
        if None in versions:
            assert group == sorted(group)
        else:
            assert versions == sorted(versions, key=lambda version: version or 0)
            newest = [position for position in group if records[position].version == versions[-1]]
            assert group[-1] == max(newest)


@pytest.mark.parametrize("count", [1, 7])
async def test_deliveries_keep_their_order(count: int) -> None:
    buffer = filled(20)
    tags: list[int] = []
    while len(buffer):
        tags += [delivery.tag for delivery in await buffer.take(BatchSettings(count=count, period=0))]
    assert tags == list(range(1, 21))
