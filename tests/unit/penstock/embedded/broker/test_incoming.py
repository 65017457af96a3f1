"""Messages come in frame by frame, and are confirmed together."""

from __future__ import annotations

import pytest
from pamqp.commands import Basic

from penstock.embedded.broker.exchange import Exchange
from penstock.embedded.broker.frames import Content
from penstock.embedded.broker.incoming import LARGEST_BODY, Confirms, Incoming, check_publish
from penstock.embedded.broker.message import Message
from penstock.embedded.broker.replies import ChannelFault, ConnectionFault

PUBLISH = Basic.Publish(exchange="x", routing_key="k", mandatory=True)


def content(size: int) -> Content:
    return Content(size, Basic.Properties(), b"\0\0")


def test_a_message_is_there_when_all_of_it_is() -> None:
    incoming = Incoming()
    for _ in range(2):
        incoming.expect_method(PUBLISH)
        incoming.begin(PUBLISH)
        assert incoming.take() is None
        incoming.header(content(5))
        incoming.body(b"abc")
        assert incoming.take() is None
        incoming.body(b"de")
        complete = incoming.take()
        assert complete is not None
        message, _, mandatory = complete
        assert (message.exchange, message.routing_key, message.body, mandatory) == ("x", "k", b"abcde", True)


def test_an_empty_body_has_no_frame() -> None:
    incoming = Incoming()
    incoming.begin(PUBLISH)
    incoming.header(content(0))
    complete = incoming.take()
    assert complete is not None
    assert complete[0].body == b""


def test_any_other_order_is_refused() -> None:
    incoming = Incoming()
    for step in (lambda: incoming.header(content(1)), lambda: incoming.body(b"x")):
        with pytest.raises(ConnectionFault, match="UNEXPECTED_FRAME"):
            step()
    incoming.begin(PUBLISH)
    with pytest.raises(ConnectionFault, match=r"UNEXPECTED_FRAME - Basic.Ack where the content"):
        incoming.expect_method(Basic.Ack(1))
    incoming.header(content(1))
    with pytest.raises(ConnectionFault, match="UNEXPECTED_FRAME"):
        incoming.header(content(1))
    with pytest.raises(ConnectionFault, match="FRAME_ERROR - a content body is larger"):
        incoming.body(b"xy")


def test_what_is_too_large_or_immediate() -> None:
    incoming = Incoming()
    with pytest.raises(ConnectionFault, match="NOT_IMPLEMENTED - immediate=true"):
        incoming.begin(Basic.Publish(immediate=True))
    incoming.begin(PUBLISH)
    with pytest.raises(ChannelFault, match="message size 16777217 is larger than configured max size 16777216"):
        incoming.header(content(LARGEST_BODY + 1))


@pytest.mark.parametrize(
    ("exchange", "properties", "text"),
    [
        ("absent", Basic.Properties(), "NOT_FOUND - no exchange 'absent'"),
        ("inside", Basic.Properties(), "ACCESS_REFUSED - cannot publish to internal exchange 'inside'"),
        ("", Basic.Properties(user_id="other"), "PRECONDITION_FAILED - user_id property set to 'other'"),
        ("", Basic.Properties(headers={"BCC": ["q"]}), "NOT_IMPLEMENTED - .*CC and BCC"),
    ],
)
def test_what_may_not_be_published(exchange: str, properties: Basic.Properties, text: str) -> None:
    exchanges = {"open": Exchange("open", "topic"), "inside": Exchange("inside", "topic", internal=True)}
    with pytest.raises(ChannelFault, match=text):
        check_publish(exchanges, "user", Message(exchange, "k", b"", b""), properties)
    for name in ("open", ""):
        check_publish(exchanges, "user", Message(name, "k", b"", b""), Basic.Properties(user_id="user"))


def test_confirms_are_told_together_and_refusals_alone() -> None:
    confirms = Confirms()
    assert confirms.due() is None

    def told() -> tuple[int | None, bool | None] | None:
        ack = confirms.due()
        return None if ack is None else (ack.delivery_tag, ack.multiple)

    confirms.published(accepted=True)
    assert told() == (1, False)
    assert told() is None
    for _ in range(3):
        assert confirms.published(accepted=True) is None
    assert told() == (4, True)
    refusal = confirms.published(accepted=False)
    assert refusal is not None
    assert (refusal.delivery_tag, refusal.multiple, refusal.requeue) == (5, False, False)
    assert told() is None
    confirms.published(accepted=True)
    assert told() == (6, False)
