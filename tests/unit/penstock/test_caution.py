"""What the ends of generations teach."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from penstock.caution import LONGEST_PATIENCE, SHORT_LIFE, Caution


def generation(*, opened_at: float = 0, consumed: bool = True, received: int = 0, acked: int = 0) -> Any:
    window = SimpleNamespace(acked=acked)
    return SimpleNamespace(opened_at=opened_at, consumed=consumed, received=received, window=window)


def test_two_short_lives_in_a_row_make_it_take_one_at_a_time() -> None:
    caution = Caution()
    caution.ended(generation(), 1, 40)
    assert caution.singly == 0
    caution.ended(generation(), 2, 40)
    assert caution.singly == 40
    assert not caution.settled(39)
    assert caution.settled(1)
    assert caution.singly == 0
    assert not caution.settled(1)


def test_a_long_life_or_one_that_never_consumed_says_nothing() -> None:
    caution = Caution()
    for other in (generation(opened_at=-2 * SHORT_LIFE), generation(consumed=False)):
        caution.ended(generation(), 1, 40)
        caution.ended(other, 1, 40)
    assert caution.singly == 0


def test_what_a_silent_link_held_is_owed_until_it_comes_again_or_the_heartbeats_are_missed() -> None:
    caution = Caution()
    assert caution.owed(0) == 0
    caution.unanswered(generation(received=5, acked=2), 100, 60)
    assert caution.owed(219) == 3
    assert caution.owed(220) == 0
    caution.redelivered()
    assert caution.owed(150) == 2
    for _ in range(4):
        caution.redelivered()
    assert caution.owed(150) == 0


def test_patience_grows_while_rebuilding_is_in_vain() -> None:
    caution = Caution()
    waited = []
    for _ in range(9):
        looks = 1
        while not caution.is_too_long(looks):
            looks += 1
        waited.append(looks)
    assert waited == [1, 2, 4, 8, 16, 32, LONGEST_PATIENCE, LONGEST_PATIENCE, LONGEST_PATIENCE]
    caution.fed()
    assert caution.is_too_long(1)
