"""A rate is the mean of the last ten seconds."""

from __future__ import annotations

from penstock.rate import Rate
from support.clock import ManualClock


def test_it_counts_the_last_ten_seconds() -> None:
    clock = ManualClock()
    rate = Rate(clock)
    assert rate.per_second() == 0
    for _ in range(30):
        rate.add()
    assert rate.per_second() == 3
    clock.time += 9
    rate.add()
    assert rate.per_second() == 3.1
    clock.time += 1
    assert rate.per_second() == 0.1
    clock.time += 9
    assert rate.per_second() == 0
