"""A message on its way to the broker, and the bytes that the outbox keeps of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pamqp.commands import Basic
from pamqp.header import ContentHeader

from penstock.deadletter.letter import LARGEST_HEADER, encodable
from penstock.errors import PublishRefused
from penstock.field_table import NOT_AMQP, ExactProperties
from penstock.idempotency import KEY_HEADER

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Lengths of what stands before the body: exchange, routing key, properties, and why it failed.
_LAYOUT = struct.Struct(">HHII")


@dataclass(frozen=True, slots=True)
class Message:
    """`properties` are AMQP's own bytes (a content header); id and key are in them and stay the same in every try."""

    id: str
    exchange: str
    routing_key: str
    properties: bytes
    body: bytes

    def decoded(self) -> Basic.Properties:
        """The properties as the client library takes them."""
        header = ContentHeader(properties=ExactProperties())
        header.unmarshal(self.properties)
        found = header.properties
        found.headers = encodable(found.headers or {})
        return found


def make(
    message_id: str,
    exchange: str,
    routing_key: str,
    body: bytes,
    *,
    headers: Mapping[str, Any],
    content_type: str,
    now: float,
) -> Message:
    """A message, encoded. Raises PublishRefused for what no broker could be sent; `now` in epoch seconds.

    The header penstock-key is the id where the caller gave none: a repeated message is one effect.
    """
    properties = ExactProperties(
        content_type=content_type,
        headers=encodable({KEY_HEADER: message_id, **headers}),
        delivery_mode=2,
        message_id=message_id,
        timestamp=datetime.fromtimestamp(now, UTC),
    )
    try:
        Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True).marshal()
        encoded = ContentHeader(0, len(body), properties).marshal()
    except NOT_AMQP as error:
        text = f"a message for routing key '{routing_key}' cannot be put in AMQP's terms: {error}"
        raise PublishRefused(text) from error
    if len(encoded) > LARGEST_HEADER:
        text = f"a message for routing key '{routing_key}' has {len(encoded):,} bytes of headers"
        raise PublishRefused(f"{text}, {LARGEST_HEADER:,} are allowed: put them in its body")
    return Message(message_id, exchange, routing_key, encoded, bytes(body))


def to_payload(message: Message, failure: str = "") -> bytes:
    """What the journal keeps of a message; `failure` says why the broker did not take it."""
    exchange, routing_key, reason = message.exchange.encode(), message.routing_key.encode(), failure.encode()
    lengths = _LAYOUT.pack(len(exchange), len(routing_key), len(message.properties), len(reason))
    return b"".join((lengths, exchange, routing_key, message.properties, reason, message.body))


def from_payload(payload: bytes) -> tuple[Message, str]:
    """The message again, and why it failed. The payload's checksum has held, so it is what was written."""
    parts = []
    start = _LAYOUT.size
    for length in _LAYOUT.unpack_from(payload):
        parts.append(payload[start : start + length])
        start += length
    exchange, routing_key, properties, reason = parts
    header = ContentHeader()
    header.unmarshal(properties)
    message_id = header.properties.message_id or ""
    return Message(message_id, exchange.decode(), routing_key.decode(), properties, payload[start:]), reason.decode()
