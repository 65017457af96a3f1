"""The fuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import FuseBlown
from penstock.fuse import Fuse
from penstock.outcome import Poison
from penstock.settings import FuseSettings

BAD = Poison("constraint", "23502", "the payload is quoted here")


def test_its_text_quotes_no_payload() -> None:
    with pytest.raises(FuseBlown) as blown:
        Fuse(FuseSettings(window=1, percent=0)).check(1, 1, BAD)
    assert BAD.message not in str(blown.value)


def test_a_batch_larger_than_the_window_is_judged_by_its_own_size() -> None:
    fuse = Fuse(FuseSettings(window=1000, percent=20))
    fuse.check(201, 5000, BAD)
    with pytest.raises(FuseBlown, match="the last 5000 records"):
        fuse.check(1001, 5000, BAD)


def test_it_blows_before_the_batch_that_would_be_too_much() -> None:
    fuse = Fuse(FuseSettings(window=100, percent=20))
    fuse.record(15, 50)
    fuse.check(5, 50, BAD)
    with pytest.raises(
        FuseBlown, match=r"20 % of the last 100 records.*for constraint \(23502\).*fuse\.percent to 100"
    ):
        fuse.check(6, 50, BAD)


def test_good_records_push_the_bad_ones_out() -> None:
    fuse = Fuse(FuseSettings(window=100, percent=20))
    fuse.record(20, 100)
    with pytest.raises(FuseBlown):
        fuse.check(1, 1, BAD)
    fuse.record(0, 100)
    fuse.check(20, 100, BAD)


def test_a_hundred_per_cent_switches_it_off() -> None:
    fuse = Fuse(FuseSettings(window=10, percent=100))
    fuse.record(10, 10)
    fuse.check(10, 10, BAD)


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=60), st.integers(1, 200))
def test_for_one_cause_never_more_than_the_limit_is_let_through(batches: list[tuple[int, int]], window: int) -> None:
    fuse = Fuse(FuseSettings(window=window, percent=20))
    passed: list[tuple[int, int]] = []
    for refused, good in batches:
        try:
            fuse.check(refused, 1, BAD)
        except FuseBlown:
            continue
        fuse.record(refused, refused + good)
        passed.append((refused, refused + good))
    # Any run of settled batches of at most `window` records in all holds at most the limit of refused ones.
    for start in range(len(passed)):
        total = bad = 0
        for refused, size in passed[start:]:
            total += size
            bad += refused
            if total <= window:
                assert bad <= fuse.limit()
