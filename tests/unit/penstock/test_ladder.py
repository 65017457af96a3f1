"""How long a record waits before its next turn, and when it has no more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from penstock.deadletter.letter import ATTEMPTS_HEADER
from penstock.ladder import Ladder, ladder_of, retry_queue, rungs
from penstock.settings import RetrySettings
from penstock.testing import MemorySink, make_record
from support.notes import notes_worker
from support.spilling import event_worker

if TYPE_CHECKING:
    from penstock.worker import Mode


class Plain(BaseModel):
    id: int
    name: str = ""


def ladder(mode: Mode = "append", **settings: Any) -> Ladder:
    return Ladder(event_worker(MemorySink(mode)), RetrySettings(**settings))


def delay_after(found: Ladder, attempts: object, version: int | None = None) -> int | None:
    record = make_record({}, "a", version=version)
    record.delivery.properties.headers = {ATTEMPTS_HEADER: attempts}
    return found.delay(record)


def test_the_delays_grow_by_the_factor_up_to_the_longest() -> None:
    assert rungs(RetrySettings()) == (1000, 5000, 25_000, 125_000, 600_000)
    assert rungs(RetrySettings(later_min=0.2, later_factor=2, later_max=0.8)) == (200, 400, 800)
    assert rungs(RetrySettings(later_min=3, later_max=3)) == (3000,)


@given(st.floats(0.001, 1000), st.floats(2, 100), st.floats(1, 604_800), st.integers(1, 50), st.integers(0, 60))
def test_whatever_is_set_it_rises_ends_and_has_a_queue_for_each_delay(
    shortest: float, factor: float, longest: float, most: int, attempts: int
) -> None:
    settings = {"later_min": min(shortest, longest), "later_factor": factor, "later_max": longest}
    found = ladder(max_attempts=most, **settings)
    assert list(found.rungs) == sorted(set(found.rungs))
    assert found.rungs[-1] == round(longest * 1000)
    assert len({retry_queue("q", rung) for rung in found.rungs}) == len(found.rungs) <= 31
    delay = delay_after(found, attempts)
    assert (delay is None) == (attempts + 1 >= most)
    assert delay is None or delay in found.rungs


def test_each_attempt_waits_longer_than_the_one_before_and_the_last_has_none() -> None:
    found = ladder(max_attempts=7)
    delays = [delay_after(found, attempts) for attempts in range(8)]
    assert delays == [1000, 5000, 25_000, 125_000, 600_000, 600_000, None, None]


@pytest.mark.parametrize("header", [None, "many", -1, 2**40, [3]])
def test_a_header_that_somebody_else_wrote_counts_nothing(header: object) -> None:
    assert delay_after(ladder(), header) == 1000


def test_a_record_that_may_not_be_late_has_no_delay() -> None:
    assert delay_after(ladder("upsert"), 0) is None
    assert delay_after(ladder("upsert"), 0, version=3) == 1000
    assert delay_after(ladder("append"), 0) == 1000


def test_only_workers_whose_records_may_be_late_have_a_ladder() -> None:
    assert ladder_of(event_worker(MemorySink("upsert"), model=Plain), RetrySettings()) is None
    assert ladder_of(event_worker(MemorySink("append"), model=Plain), RetrySettings()) is not None
    assert ladder_of(notes_worker(MemorySink()), RetrySettings()) is not None


def test_a_queue_is_named_by_its_delay() -> None:
    assert retry_queue("orders", 5000) == "orders.retry.5s"
    assert retry_queue("orders", 600_000) == "orders.retry.600s"
    assert retry_queue("orders", 500) == "orders.retry.500ms"
