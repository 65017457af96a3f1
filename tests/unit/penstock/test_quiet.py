"""How long a pause waits for what is on its way."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, cast

import pytest

from penstock.quiet import FLOOD, LONGEST_STALL, LONGEST_TRICKLE, QUIET, until_quiet
from support.clock import ManualClock

if TYPE_CHECKING:
    from penstock.generation import Generation


class Broker:
    """Stands for a generation: by each look so much has been received, and so much the queue says it has."""

    def __init__(self, received: list[int], ready: list[int | None], full_after: float = 3600, size: int = 100) -> None:
        self.ended = asyncio.Event()
        self.clock = ManualClock()
        self.asked = 0
        self._received = received
        self._size = size
        self._ready = ready
        self._begun = self.clock.time
        self._full_after = full_after

    @property
    def received(self) -> int:
        return self._received[min(self._looks, len(self._received) - 1)]

    @property
    def held_bytes(self) -> int:
        return self.received * self._size

    async def ready(self, queue: str) -> int | None:
        assert queue == "shop"
        self.asked += 1
        return self._ready[min(self._looks, len(self._ready) - 1)]

    def is_full(self) -> bool:
        return self.clock.time - self._begun >= self._full_after

    @property
    def _looks(self) -> int:
        return round((self.clock.time - self._begun) / QUIET)


async def waited(broker: Broker) -> float:
    assert await until_quiet(cast("Generation", broker), "shop", broker.is_full, broker.clock)
    return sum(broker.clock.slept)


async def test_a_queue_that_is_empty_is_quiet_once_nothing_has_come() -> None:
    assert await waited(Broker([0, 7, 7], [0])) == pytest.approx(2 * QUIET)


async def test_a_full_consumer_gets_nothing_more() -> None:
    broker = Broker([5], [100], full_after=0)
    assert (await waited(broker), broker.asked) == (0, 0)


async def test_what_the_broker_has_and_does_not_send_yet_is_waited_for() -> None:
    burst = [5, 5, 5, 5, 5, 400, 900, 1000, 1000]
    assert await waited(Broker(burst, [300, 300, 300, 300, 300, 300, 300, 300, 0])) == pytest.approx(8 * QUIET)


async def test_a_broker_that_sends_nothing_is_not_waited_for_for_ever() -> None:
    assert await waited(Broker([5], [300])) == pytest.approx(LONGEST_STALL, abs=1.1 * QUIET)


async def test_a_queue_that_does_not_answer_is_none_that_has_nothing() -> None:
    assert await waited(Broker([5], [None, None, None, 0])) == pytest.approx(3 * QUIET)


async def test_a_trickle_is_not_waited_for_for_long() -> None:
    assert await waited(Broker(list(range(100)), [0])) == pytest.approx(LONGEST_TRICKLE, abs=1.1 * QUIET)


async def test_a_flood_is_asked_nothing_and_told() -> None:
    broker = Broker(list(range(0, 1000, 10)), [0], size=FLOOD)
    assert not await until_quiet(cast("Generation", broker), "shop", broker.is_full, broker.clock)
    assert sum(broker.clock.slept) == pytest.approx(LONGEST_STALL, abs=1.1 * QUIET)
    assert broker.asked == 0


async def test_a_generation_that_ends_has_nothing_on_its_way() -> None:
    broker = Broker([5], [300])
    broker.ended.set()
    assert await waited(broker) == 0
