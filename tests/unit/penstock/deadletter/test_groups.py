"""Letters counted."""

from __future__ import annotations

from datetime import timedelta

from penstock.deadletter.groups import Groups, Summary
from support.letters import DEATH, FAILED_AT, letter_with, make_letter

LATER = (FAILED_AT + timedelta(hours=1)).isoformat()
EARLIER = (FAILED_AT - timedelta(hours=1)).isoformat()


def test_groups_count_and_know_the_oldest_and_the_newest() -> None:
    groups = Groups()
    for number, failed_at in enumerate([FAILED_AT.isoformat(), LATER, EARLIER, None]):
        groups.add(make_letter(error_message=f"row {number} is wrong", failed_at=failed_at))
    groups.add(letter_with({"x-death": [DEATH]}))
    groups.add(make_letter(worker="apples", error_class="", error_message=""))
    wrong, *others = groups.largest_first()
    assert wrong.as_json() == {
        "group": make_letter(error_message="row 0 is wrong").group,
        "worker": "orders",
        "reason": "invalid",
        "error_class": "ValidationError",
        "fingerprint": "row … is wrong",
        "count": 4,
        "oldest": EARLIER,
        "newest": LATER,
    }
    assert [(one.worker, one.reason, one.span.count) for one in others] == [
        ("apples", "invalid", 1),
        ("orders", "delivery_limit", 1),
    ]


def test_a_summary_counts_reasons() -> None:
    summary = Summary("orders.dlq")
    assert summary.as_json() == {"queue": "orders.dlq", "count": 0, "oldest": None, "newest": None, "reasons": {}}
    for reason in ("invalid", "not_json", "not_json"):
        summary.add(make_letter(error_reason=reason, failed_at=None))
    assert summary.as_json() == {
        "queue": "orders.dlq",
        "count": 3,
        "oldest": None,
        "newest": None,
        "reasons": {"not_json": 2, "invalid": 1},
    }
