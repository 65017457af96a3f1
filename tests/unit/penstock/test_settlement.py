"""From outcome to settlement."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.batch import Buffer
from penstock.errors import NotRouted
from penstock.link import Link
from penstock.metrics import Metrics
from penstock.outcome import DUPLICATE, SUPERSEDED, WRITTEN, Outcome, Poison, Transient
from penstock.settings import Settings
from penstock.settlement import ACK, DeadLetter, Decided, RetryLater, Settlement, Settler, settlement_for
from penstock.testing import make_delivery, make_record
from support.clock import ManualClock
from support.endpoints import Letters
from support.handing import handover, suspects_of
from support.notes import GatedSink, notes_worker

if TYPE_CHECKING:
    from penstock.delivery import Delivery
    from penstock.outcome import Refusal

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


async def test_a_record_whose_retry_queue_is_missing_is_a_dead_letter() -> None:
    letters = Letters()
    metrics = Metrics("orders")
    leaving = handover(letters, NoQueues(), metrics)
    worker, settings = notes_worker(GatedSink()), Settings()
    link = Link(worker, settings, Buffer(ManualClock()), ManualClock(), metrics)
    settler = Settler(link, leaving, suspects_of(worker, settings, metrics), metrics)
    delivery, record = make_delivery(), make_record({}, 1, key="key")
    assert await settler.hand_over(Decided(delivery, WAITS, record, 1.0), RetryLater(WAITS, 5000)) == DeadLetter(WAITS)
    assert letters.letters == [(delivery, WAITS, "key")]
    letters.away = NotRouted("no queue")
    assert await settler.hand_over(Decided(delivery, WAITS, record, 1.0), RetryLater(WAITS, 5000)) is None


class NoQueues:
    """Retry queues that nobody has made."""

    async def publish(self, _delivery: Delivery, _refusal: Refusal, _key: str | None, _delay: int) -> None:
        raise NotRouted("no queue is bound")
