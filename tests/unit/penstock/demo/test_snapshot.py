"""What a moment says of itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.demo.snapshot import RATE_SECONDS, Rate, Snapshot, WorkerState
from penstock.demo.workers import WorkerLook

DONE = WorkerLook(outcomes={"written": 90, "duplicate": 10})
ALL_DONE = Snapshot((WorkerState("one", DONE), WorkerState("two", DONE)), published=100)


def test_settled_is_an_outcome_for_each_and_nothing_held_or_queued() -> None:
    assert ALL_DONE.settled(100)
    assert not ALL_DONE.settled(101)
    one, two = ALL_DONE.workers
    for busy in (replace(two, queued=1), replace(two, look=replace(DONE, held=1)), WorkerState("two")):
        assert not Snapshot((one, busy)).settled(100)


def test_the_outage_is_said_beside_the_rows_that_were_seen_last() -> None:
    assert ALL_DONE.stores == "rows –, nodes –, edges –"
    counted = replace(ALL_DONE, rows=1600, nodes=0, edges=5050)
    assert counted.stores == "rows 1,600, nodes 0, edges 5,050"
    assert replace(counted, outage=True).stores == "rows 1,600 (PostgreSQL is down), nodes 0, edges 5,050"


@pytest.mark.parametrize(
    ("look", "breaker"),
    [
        (WorkerLook(), "closed"),
        (WorkerLook("open", ("sink",)), "open, paused"),
        (WorkerLook("half_open", ("sink",)), "half-open, paused"),
    ],
)
def test_the_breaker_in_words(look: WorkerLook, breaker: str) -> None:
    assert WorkerState("one", look).breaker == breaker


def test_numbers_are_movement_and_no_other_state() -> None:
    one, two = ALL_DONE.workers
    for other in (
        replace(ALL_DONE, published=101),
        replace(ALL_DONE, workers=(one, replace(two, queued=7))),
        replace(ALL_DONE, workers=(one, replace(two, look=WorkerLook(outcomes={"written": 91, "duplicate": 10})))),
    ):
        assert other.movement != ALL_DONE.movement
        assert other.state == ALL_DONE.state
    # A rate that sinks to 0 is no movement.
    assert replace(ALL_DONE, workers=(one, replace(two, rate=9.0))).movement == ALL_DONE.movement
    assert replace(ALL_DONE, outage=True).state != ALL_DONE.state
    assert replace(ALL_DONE, workers=(one, replace(two, look=WorkerLook("open")))).state != ALL_DONE.state


def test_a_rate_is_taken_over_the_last_seconds() -> None:
    rate = Rate()
    assert rate.of(0, 100.0) == 0
    assert rate.of(50, 100.5) == 100
    assert rate.of(50, 102.0) == 25
    # What was before them is forgotten.
    assert rate.of(50, 102.0 + RATE_SECONDS) == 0
    assert rate.of(250, 103.0 + RATE_SECONDS) == pytest.approx(200 / 3)
