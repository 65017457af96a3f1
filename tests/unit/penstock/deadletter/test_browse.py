"""How many letters are asked for next."""

from __future__ import annotations

from penstock.deadletter.browse import LARGEST_WINDOW, WINDOW_BYTES, next_window


def test_the_window_doubles_up_to_a_limit() -> None:
    assert [next_window(seen, 1, 1000) for seen in (0, 1, 3, 200)] == [1, 2, 6, 400]
    assert next_window(100_000, 250, 250_000) == LARGEST_WINDOW
    assert next_window(100_000, 250, 0) == LARGEST_WINDOW


def test_large_letters_make_it_small() -> None:
    assert next_window(1000, 10, WINDOW_BYTES) == 10
    assert next_window(1000, 1, 3 * WINDOW_BYTES) == 1
