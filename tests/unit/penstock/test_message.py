"""A message is the same after any number of tries and restarts; what cannot be sent is refused before all else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.errors import PublishRefused
from penstock.message import Message, from_payload, make, to_payload


def made(routing_key: str = "order", body: bytes = b"{}", **headers: Any) -> Message:
    return make("id-1", "shop", routing_key, body, headers=headers, content_type="application/json", now=1_700_000_000)


@given(st.text("az.-", max_size=40), st.text(max_size=40), st.binary(max_size=50), st.text(max_size=20))
def test_the_journal_gives_back_what_it_was_given(exchange: str, routing_key: str, body: bytes, failure: str) -> None:
    message = make("id-1", exchange, routing_key, body, headers={"a": 1}, content_type="text/plain", now=1)
    assert from_payload(to_payload(message, failure)) == (message, failure)


def test_its_properties_are_those_of_a_durable_message_with_id_and_key() -> None:
    properties = made(raw=b"\xff\x00", nested={"list": [1, "two"]}).decoded()
    assert properties.message_id == "id-1"
    assert properties.delivery_mode == 2
    assert properties.content_type == "application/json"
    assert properties.timestamp is not None
    assert properties.timestamp.timestamp() == 1_700_000_000
    assert properties.headers == {"penstock-key": "id-1", "raw": b"\xff\x00", "nested": {"list": [1, "two"]}}


def test_a_key_of_the_callers_stays() -> None:
    properties = made(**{"penstock-key": "order-1"}).decoded()
    assert properties.headers == {"penstock-key": "order-1"}


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        ({"routing_key": "k" * 256}, "255"),
        ({"routing_key": "\ud800"}, "cannot be put in AMQP's terms"),
        ({"odd": object()}, "cannot be put in AMQP's terms"),
        ({"long": "x" * 200_000}, "bytes of headers, 128,000 are allowed"),
    ],
)
def test_what_cannot_be_sent_is_refused_at_once(message: dict[str, Any], problem: str) -> None:
    with pytest.raises(PublishRefused, match=problem):
        made(**message)
