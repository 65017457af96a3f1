"""What a queue may be declared with."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.embedded.broker.arguments import queue_arguments
from penstock.embedded.broker.replies import ChannelFault

WORK = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 1000,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "notes.dlq",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def test_the_queues_of_penstock() -> None:
    work = queue_arguments("notes", dict(WORK))
    assert (work.quorum, work.delivery_limit, work.at_least_once, work.reject_publish) == (True, 1000, True, True)
    assert (work.dead_letter_exchange, work.dead_letter_routing_key) == ("", "notes.dlq")
    assert work.given == WORK
    letters = queue_arguments("notes.dlq", {"x-queue-type": "classic"})
    assert not letters.quorum
    assert letters == queue_arguments("notes.dlq", {})


def test_at_least_once_needs_a_queue_that_refuses() -> None:
    without = {name: value for name, value in WORK.items() if name != "x-overflow"}
    assert not queue_arguments("notes", without).at_least_once


@pytest.mark.parametrize(("limit", "understood"), [(-1, None), (0, 0), (7, 7), (None, 20)])
def test_the_delivery_limit(limit: int | None, understood: int | None) -> None:
    table: Any = {"x-queue-type": "quorum"} | ({} if limit is None else {"x-delivery-limit": limit})
    assert queue_arguments("q", table).delivery_limit == understood


@pytest.mark.parametrize(
    ("table", "code", "text"),
    [
        (
            {"x-single-active-consumer": True},
            406,
            "'x-single-active-consumer' .*unknown here; known are x-queue-type, ",
        ),
        ({"other": 1}, 406, "invalid arg 'other' for queue 'q' in vhost '/'"),
        ({"x-queue-type": "stream"}, 540, "NOT_IMPLEMENTED - the development broker does without streams"),
        ({"x-queue-type": "odd"}, 406, "must be classic or quorum, not 'odd'"),
        ({"x-message-ttl": -1}, 406, "'x-message-ttl' .*whole number from 0 to 4294967295, not -1"),
        ({"x-message-ttl": "60"}, 406, "not '60'"),
        ({"x-max-length": True}, 406, "not True"),
        ({"x-max-priority": 256}, 406, "from 0 to 255"),
        ({"x-overflow": "reject-publish-dlx"}, 406, "drop-head or reject-publish"),
        ({"x-dead-letter-exchange": 1}, 406, "must be text, not 1"),
        ({"x-dead-letter-routing-key": "k"}, 406, "needs x-dead-letter-exchange"),
        ({"x-delivery-limit": 1}, 406, "'x-delivery-limit' .*does not go with a classic queue"),
        ({"x-queue-type": "quorum", "x-max-priority": 1}, 406, "does not go with a quorum queue"),
    ],
)
def test_what_is_refused(table: Any, code: int, text: str) -> None:
    with pytest.raises(ChannelFault, match=text) as refused:
        queue_arguments("q", table)
    assert refused.value.code == code
