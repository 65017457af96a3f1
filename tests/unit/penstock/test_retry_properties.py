"""Delays and start-up, whatever the settings: bounded, growing, and never over before the work is done or given up."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import LinkError
from penstock.retry import START_ATTEMPTS, backoff, until_it_works
from penstock.settings import RetrySettings
from support.clock import ManualClock

#: Room for the last bit of a float.
LITTLE = 1e-9


class ChancyClock(ManualClock):
    """A manual clock whose chance can be said again."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self._chance = random.Random(seed)

    def uniform(self, low: float, high: float) -> float:
        return self._chance.uniform(low, high)


@st.composite
def settings(draw: st.DrawFn) -> RetrySettings:
    low = draw(st.floats(0.001, 60))
    high = draw(st.floats(low, 3600))
    return RetrySettings(min=low, max=high, jitter=draw(st.floats(0, 1)))


@given(settings(), st.integers(1, 10_000), st.integers(0, 2**32))
def test_a_delay_is_within_its_bounds(chosen: RetrySettings, attempt: int, seed: int) -> None:
    seconds = backoff(attempt, chosen, ChancyClock(seed))
    lowest, highest = 1 - chosen.jitter, 1 + chosen.jitter
    assert chosen.min * lowest - LITTLE <= seconds <= chosen.max * highest + LITTLE
    # Doubled, as far as the longest allows.
    middle = min(chosen.max, chosen.min * 2 ** min(attempt - 1, 60))
    assert middle * lowest - LITTLE <= seconds <= middle * highest + LITTLE


@given(settings(), st.integers(1, 10_000), st.integers(0, 2**32))
def test_delays_grow_but_for_their_jitter(chosen: RetrySettings, attempt: int, seed: int) -> None:
    plain = ManualClock()  # its chance takes the middle: no jitter
    assert backoff(attempt, chosen, plain) <= backoff(attempt + 1, chosen, plain) <= chosen.max
    if chosen.jitter <= 1 / 3 and backoff(attempt + 1, chosen, plain) == 2 * backoff(attempt, chosen, plain):
        clock = ChancyClock(seed)
        assert backoff(attempt, chosen, clock) <= backoff(attempt + 1, chosen, clock) + LITTLE


@given(settings(), st.integers(1, 10_000))
def test_chance_is_asked_for_the_whole_jitter_and_no_more(chosen: RetrySettings, attempt: int) -> None:
    asked: list[tuple[float, float]] = []

    class Asked(ManualClock):
        def uniform(self, low: float, high: float) -> float:
            asked.append((low, high))
            return low

    backoff(attempt, chosen, Asked())
    assert asked == [(1 - chosen.jitter, 1 + chosen.jitter)]


class Server:
    """Works from a given try on; before it fails in the way it is told."""

    def __init__(self, works_at: int, failure: type[Exception]) -> None:
        self.tries = 0
        self._works_at = works_at
        self._failure = failure

    async def call(self) -> int:
        self.tries += 1
        if self.tries < self._works_at:
            raise self._failure(f"try {self.tries}")
        return self.tries


@given(settings(), st.integers(1, 40), st.integers(0, 2**32))
async def test_start_up_goes_on_until_it_works(chosen: RetrySettings, works_at: int, seed: int) -> None:
    server, clock = Server(works_at, LinkError), ChancyClock(seed)
    found = await until_it_works(server.call, what="it", errors=LinkError, settings=chosen, clock=clock, give_up=False)
    assert found == server.tries == works_at
    # It sleeps between two tries and never after the last, at the longest delay from the fifth on.
    assert len(clock.slept) == works_at - 1
    assert clock.slept[START_ATTEMPTS - 1 :] == [chosen.max] * max(0, works_at - START_ATTEMPTS)
    assert clock.time == pytest.approx(1000 + sum(clock.slept))


@given(settings(), st.integers(1, 40), st.integers(0, 2**32))
async def test_start_up_that_may_give_up_does_so_after_its_tries_and_not_before(
    chosen: RetrySettings, works_at: int, seed: int
) -> None:
    server, clock = Server(works_at, LinkError), ChancyClock(seed)
    trying = until_it_works(server.call, what="it", errors=LinkError, settings=chosen, clock=clock, give_up=True)
    if works_at <= START_ATTEMPTS:
        assert await trying == works_at
    else:
        with pytest.raises(LinkError, match=f"try {START_ATTEMPTS}$"):
            await trying
    assert server.tries == min(works_at, START_ATTEMPTS)
    assert len(clock.slept) == server.tries - 1


@given(settings(), st.integers(2, 40))
async def test_what_is_no_outage_ends_it_at_once(chosen: RetrySettings, works_at: int) -> None:
    server, clock = Server(works_at, ZeroDivisionError), ManualClock()
    with pytest.raises(ZeroDivisionError, match="try 1"):
        await until_it_works(server.call, what="it", errors=LinkError, settings=chosen, clock=clock, give_up=False)
    assert clock.slept == []
