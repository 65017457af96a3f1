"""The headers of a dead letter."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pamqp import header
from pamqp.commands import Basic

from penstock.deadletter.letter import LONGEST_MESSAGE, can_be_sent, letter_headers
from penstock.deadletter.sender import DeadLetters
from penstock.outcome import Poison
from penstock.testing import make_delivery

REFUSAL = Poison("invalid", "ValidationError", "m" * 5000)


def test_the_context_is_there_and_the_publishers_headers_are_kept() -> None:
    delivery = make_delivery(b"body", routing_key="artist")
    delivery.properties.headers = {
        "traceparent": "00-1",
        "x-death": [{"count": 1}],
        "x-first-death-queue": "q",
        "x-last-death-reason": "expired",
        "x-delivery-count": 4,
        "x-mine": 1,
    }
    headers = letter_headers(delivery, REFUSAL, "orders", None, 0.5)
    assert headers == {
        "traceparent": "00-1",
        "x-mine": 1,
        "penstock-error-reason": "invalid",
        "penstock-error-class": "ValidationError",
        "penstock-error-message": "m" * LONGEST_MESSAGE,
        "penstock-original-exchange": "test",
        "penstock-original-routing-key": "artist",
        "penstock-worker": "orders",
        "penstock-attempts": 1,
        "penstock-failed-at": "1970-01-01T00:00:00.500+00:00",
        "penstock-replays": 0,
    }


def test_the_key_of_the_record_wins_and_attempts_are_counted_on() -> None:
    delivery = make_delivery(b"body")
    delivery.properties.headers = {"penstock-attempts": 2, "penstock-key": "old", "penstock-replays": 1}
    headers = letter_headers(delivery, REFUSAL, "orders", "key-of-the-record", 0)
    assert (headers["penstock-attempts"], headers["penstock-replays"]) == (3, 1)
    assert headers["penstock-key"] == "key-of-the-record"
    assert letter_headers(delivery, REFUSAL, "orders", None, 0)["penstock-key"] == "old"


def test_what_anybody_may_have_put_in_a_header_stops_nothing() -> None:
    delivery = make_delivery(b"body")
    delivery.properties.headers = {
        "penstock-attempts": "x",
        "penstock-replays": None,
        "CC": ["orders"],
        "BCC": ["orders"],
        "raw": b"\xff",
        "deep": [{"raw": b"\xff"}],
    }
    headers = letter_headers(delivery, REFUSAL, "orders", None, 0)
    assert (headers["penstock-attempts"], headers["penstock-replays"]) == (1, 0)
    # Carried on, these would route a copy of the letter back into the queue it came from.
    assert not {"CC", "BCC"} & headers.keys()
    # What the client reads as bytes it can only send as bytearray.
    frame = header.ContentHeader(0, 4, Basic.Properties(headers=headers)).marshal()
    assert frame.count(b"\xff") >= 2


class Outbox:
    """Stands in for the publisher and keeps what it is given."""

    def __init__(self) -> None:
        self.sent: list[Basic.Properties] = []

    async def publish(self, _exchange: str, _routing_key: str, _body: bytes, properties: Basic.Properties) -> None:
        self.sent.append(properties)


@pytest.mark.parametrize("foreign", [{"long": "x" * 130_000}, {"odd": object()}, {"far": 2**70}])
async def test_headers_that_cannot_be_sent_on_are_left_out_and_the_letter_is_sent(foreign: dict[str, object]) -> None:
    delivery = make_delivery(b"body")
    delivery.properties.headers = {**foreign, "penstock-replays": 2}
    delivery.properties.message_id = "m-1"
    publisher: Any = (outbox := Outbox())
    worker: Any = SimpleNamespace(name="orders", dead_letter_queue="orders.dlq")
    await DeadLetters(worker, publisher).publish(delivery, REFUSAL, None, 0.5)
    [properties] = outbox.sent
    assert can_be_sent(properties)
    assert properties.message_id == "m-1"
    headers = properties.headers or {}
    assert headers["penstock-headers-left-out"] is True
    assert (headers["penstock-error-reason"], headers["penstock-replays"]) == ("invalid", 2)
    assert not foreign.keys() & headers.keys()
