"""Properties are decoded when somebody asks, and what cannot be decoded stops nobody."""

from __future__ import annotations

import struct

import pytest
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from structlog.testing import capture_logs

from penstock.deadletter.letter import can_be_sent, letter_headers, sendable
from penstock.delivery import LEFT_OUT_HEADER
from penstock.outcome import Poison
from penstock.testing import make_delivery
from support.frames import short, sized

HEADERS, MESSAGE_ID, TIMESTAMP = (Basic.Properties.flags[name] for name in ("headers", "message_id", "timestamp"))
KEY = sized(short("penstock-key") + b"S" + sized(b"k1"))


def header(flags: int, values: bytes) -> bytes:
    return struct.pack(">HHQH", 60, 0, 2, flags) + values


def deep(levels: int) -> bytes:
    table = sized(b"")
    for _ in range(levels):
        table = sized(short("") + b"F" + table)
    return table


UNREADABLE = {
    "a year beyond Python's": header(HEADERS | TIMESTAMP, KEY + struct.pack(">Q", 2**53)),
    "a time beyond the machine's": header(HEADERS | TIMESTAMP, KEY + struct.pack(">Q", 2**64 - 1)),
    "a short string that is no UTF-8": header(HEADERS | MESSAGE_ID, KEY + short(b"\xff")),
    "a time cut short": header(HEADERS | TIMESTAMP, KEY + b"\x00\x00"),
}


def test_they_are_decoded_once() -> None:
    properties = Basic.Properties(message_id="m1", headers={"x": 1})
    delivery = make_delivery(properties=ContentHeader(0, 2, properties).marshal())
    with capture_logs() as logs:
        assert delivery.properties == properties
        assert delivery.properties is delivery.properties
        assert delivery.headers == {"x": 1}
    assert logs == []


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_stands_before_the_unreadable_is_kept_and_a_letter_of_it_says_so(what: str) -> None:
    delivery = make_delivery(properties=UNREADABLE[what])
    with capture_logs() as logs:
        assert delivery.headers == {"penstock-key": "k1", LEFT_OUT_HEADER: True}
        assert (delivery.properties.message_id, delivery.properties.timestamp) == (None, None)
        headers = letter_headers(delivery, Poison("invalid", "E", "m"), "w", None, 0.0)
        properties = sendable(delivery.properties, headers)
    assert [one["event"] for one in logs] == ["properties_unreadable"]
    assert can_be_sent(properties)
    assert properties.headers is not None
    assert properties.headers[LEFT_OUT_HEADER] is True
    assert properties.headers["penstock-key"] == "k1"


@pytest.mark.parametrize("levels", [100, 200, 300])
def test_of_headers_nested_so_deep_that_they_cannot_be_sent_a_letter_has_none(levels: int) -> None:
    delivery = make_delivery(properties=header(HEADERS, deep(levels)))
    with capture_logs():
        headers = letter_headers(delivery, Poison("invalid", "E", "m"), "w", None, 0.0)
        properties = sendable(delivery.properties, headers)
    assert can_be_sent(properties)
    assert properties.headers is not None
    assert (LEFT_OUT_HEADER in properties.headers) == (levels > 100)


@pytest.mark.parametrize("bad", [header(HEADERS, deep(5_000)), header(HEADERS, b"\xff"), header(1, b"\x00")])
def test_of_unreadable_headers_there_are_none(bad: bytes) -> None:
    with capture_logs() as logs:
        assert make_delivery(properties=bad).headers == {LEFT_OUT_HEADER: True}
    assert [one["event"] for one in logs] == ["properties_unreadable"]
