"""The size of batches follows how long the sink takes for them."""

from __future__ import annotations

from penstock.batch_size import LONGEST_WAIT, PATIENCE, SMALLEST_PART, WAITING_PART, BatchSize
from penstock.settings import BatchSettings

FULL = 320


def size_of() -> BatchSize:
    return BatchSize(BatchSettings(count=FULL, write_seconds=4))


def test_full_batches_that_take_too_long_are_halved_down_to_a_limit() -> None:
    size, seen = size_of(), []
    for _ in range(8):
        seen.append(size.full.count)
        size.written(size.full.count, size.full.count / FULL * 300)
    assert seen == [320, 160, 80, 40, 20, 20, 20, 20]
    assert min(seen) == FULL // SMALLEST_PART


def test_they_grow_again_when_the_sink_is_quick() -> None:
    size = size_of()
    size.written(320, 5)
    size.written(160, 2.5)
    assert size.full.count == 160
    size.written(160, 2)
    assert size.full.count == 320
    size.written(320, 0.9)
    assert size.full.count == 320


def test_a_batch_that_was_not_full_says_nothing_of_the_count() -> None:
    size = size_of()
    size.written(319, 60)
    assert size.full.count == 320


def test_a_batch_waits_for_more_a_part_of_what_the_last_write_took_and_not_for_long() -> None:
    size = size_of()
    assert size.full.period == LONGEST_WAIT
    size.written(1, 0.004)
    assert size.full.period == 0.004 * WAITING_PART
    size.written(320, 60)
    assert (size.full.count, size.full.period) == (160, LONGEST_WAIT)


def test_where_the_settings_say_how_long_it_waits_it_waits_so_long() -> None:
    size = BatchSize(BatchSettings(period=3))
    assert size.full.period == 3
    size.written(1, 0.004)
    assert size.full.period == 3


def test_where_fewer_records_are_no_faster_it_goes_back_to_all() -> None:
    size = size_of()
    size.written(320, 6)
    size.written(160, 6)
    assert size.full.count == 320
    for _ in range(PATIENCE):
        size.written(320, 6)
        assert size.full.count == 320
    size.written(320, 6)
    assert size.full.count == 160


def test_new_settings_bound_it() -> None:
    size = size_of()
    size.reload(BatchSettings(count=10))
    assert size.full.count == 10
