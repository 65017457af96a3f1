"""What a channel publishes: a message that comes in frame by frame, and the confirms that follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp.commands import Basic

from penstock.embedded.broker.message import Message
from penstock.embedded.broker.replies import (
    ACCESS_REFUSED,
    FRAME_ERROR,
    NOT_IMPLEMENTED,
    PRECONDITION_FAILED,
    UNEXPECTED_FRAME,
    ChannelFault,
    ConnectionFault,
    missing,
    not_emulated,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.base import Frame

    from penstock.embedded.broker.exchange import Exchange
    from penstock.embedded.broker.frames import Content

#: The largest body, in bytes, that RabbitMQ 4 takes.
LARGEST_BODY = 16 * 2**20
#: Headers that would route copies of a message.
_COPIES = ("CC", "BCC")


class Incoming:
    """One message at a time: its method, its header, its body. Raises ConnectionFault on any other order."""

    def __init__(self) -> None:
        self._publish: Basic.Publish | None = None
        self._content: Content | None = None
        self._body: list[bytes] = []
        self._missing = 0

    def expect_method(self, method: Frame) -> None:
        """A method is only taken between two messages."""
        if self._publish is not None:
            raise ConnectionFault(UNEXPECTED_FRAME, f"{method.name} where the content of a message was expected")

    def begin(self, publish: Basic.Publish) -> None:
        """Begin a message."""
        if publish.immediate:
            raise ConnectionFault(NOT_IMPLEMENTED, "immediate=true")
        self._publish = publish

    def header(self, content: Content) -> None:
        """Take the size and the properties. Raises ChannelFault on one that is too large."""
        if self._publish is None or self._content is not None:
            raise ConnectionFault(UNEXPECTED_FRAME, "a content header where none was expected")
        if content.size > LARGEST_BODY:
            text = f"message size {content.size} is larger than configured max size {LARGEST_BODY}"
            raise ChannelFault(PRECONDITION_FAILED, text)
        self._content = content
        self._missing = content.size

    def body(self, payload: bytes) -> None:
        """Take a part of the body."""
        if self._content is None:
            raise ConnectionFault(UNEXPECTED_FRAME, "a content body where none was expected")
        self._missing -= len(payload)
        if self._missing < 0:
            raise ConnectionFault(FRAME_ERROR, "a content body is larger than its header says")
        self._body.append(payload)

    def take(self) -> tuple[Message, Basic.Properties, bool] | None:
        """The message, its properties decoded, and whether it is mandatory; None while something is missing."""
        publish, content = self._publish, self._content
        if publish is None or content is None or self._missing:
            return None
        message = Message(publish.exchange or "", publish.routing_key or "", content.raw, b"".join(self._body))
        self._publish, self._content, self._body = None, None, []
        return message, content.properties, bool(publish.mandatory)


def check_publish(
    exchanges: Mapping[str, Exchange], username: str, message: Message, properties: Basic.Properties
) -> None:
    """See that a message may be published by this user. Raises ChannelFault."""
    if message.exchange:
        exchange = exchanges.get(message.exchange)
        if exchange is None:
            raise missing("exchange", message.exchange)
        if exchange.internal:
            text = f"cannot publish to internal exchange '{message.exchange}' in vhost '/'"
            raise ChannelFault(ACCESS_REFUSED, text)
    if properties.user_id and properties.user_id != username:
        text = f"user_id property set to '{properties.user_id}' but authenticated user was '{username}'"
        raise ChannelFault(PRECONDITION_FAILED, text)
    if any(name in (properties.headers or {}) for name in _COPIES):
        raise not_emulated("the headers CC and BCC: bind the queues to an exchange")


class Confirms:
    """Counts publishes: up to which of them all are taken, and up to which the client has been told."""

    def __init__(self) -> None:
        self._published = 0
        self._told = 0

    def published(self, *, accepted: bool) -> Basic.Nack | None:
        """Count one more; the refusal to send where a queue did not take it. Those before it must have been told."""
        self._published += 1
        if accepted:
            return None
        self._told = self._published
        return Basic.Nack(self._published, multiple=False, requeue=False)

    def due(self) -> Basic.Ack | None:
        """The confirm of all that was published since the last one."""
        if self._told == self._published:
            return None
        ack = Basic.Ack(self._published, multiple=self._published > self._told + 1)
        self._told = self._published
        return ack
