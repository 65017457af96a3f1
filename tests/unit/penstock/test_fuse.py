"""The fuse."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import FuseBlown
from penstock.fuse import Fuse
from penstock.settings import FuseSettings


def test_it_blows_before_the_batch_that_would_be_too_much() -> None:
    fuse = Fuse(FuseSettings(window=100, percent=20))
    fuse.record(15, 50)
    fuse.check(5, "x")
    with pytest.raises(FuseBlown, match=r"20 % of the last 100 records.*because: why.*PENSTOCK_FUSE__PERCENT=100"):
        fuse.check(6, "why")


def test_good_records_push_the_bad_ones_out() -> None:
    fuse = Fuse(FuseSettings(window=100, percent=20))
    fuse.record(20, 100)
    with pytest.raises(FuseBlown):
        fuse.check(1, "x")
    fuse.record(0, 100)
    fuse.check(20, "x")


def test_a_hundred_per_cent_switches_it_off() -> None:
    fuse = Fuse(FuseSettings(window=10, percent=100))
    fuse.record(10, 10)
    fuse.check(10, "x")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 60)), max_size=60), st.integers(1, 200))
def test_for_one_cause_never_more_than_the_limit_is_let_through(batches: list[tuple[int, int]], window: int) -> None:
    fuse = Fuse(FuseSettings(window=window, percent=20))
    passed: list[tuple[int, int]] = []
    for refused, good in batches:
        try:
            fuse.check(refused, "x")
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
                assert bad <= fuse.limit
