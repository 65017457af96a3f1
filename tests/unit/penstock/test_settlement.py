"""From outcome to settlement."""

from __future__ import annotations

import pytest

from penstock.outcome import DUPLICATE, SUPERSEDED, WRITTEN, Outcome, Poison, Transient
from penstock.settlement import ACK, DeadLetter, RetryLater, Settlement, settlement_for

POISON = Poison("invalid", "E", "m")
TRANSIENT = Transient("deadlock", "E", "m")
WAITS = Transient("foreign_key", "E", "m", delay=5000)


@pytest.mark.parametrize(
    ("outcome", "settlement"),
    [
        (WRITTEN, ACK),
        (DUPLICATE, ACK),
        (SUPERSEDED, ACK),
        (POISON, DeadLetter(POISON)),
        (TRANSIENT, DeadLetter(TRANSIENT)),
        (WAITS, RetryLater(WAITS, 5000)),
    ],
)
def test_each_outcome_has_its_settlement(outcome: Outcome, settlement: Settlement) -> None:
    assert settlement_for(outcome) == settlement
