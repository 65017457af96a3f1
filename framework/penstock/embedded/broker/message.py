"""A message, and the place it has in one queue."""

from __future__ import annotations

import struct
from dataclasses import dataclass

#: Expiry (epoch seconds, 0 for never), returns, priority, whether it died; then the lengths of exchange, routing key
#: and properties.
_LAYOUT = struct.Struct(">dIB?BBI")


@dataclass(frozen=True, slots=True, eq=False)
class Message:
    """What was published. `properties` are as on the wire: flags and values; nobody changes them in place.

    `died` says that it is a dead letter of this broker. Only then are the deaths among its headers true: what a client
    writes there is not believed.
    """

    exchange: str
    routing_key: str
    properties: bytes
    body: bytes
    died: bool = False


@dataclass(slots=True, eq=False)
class Held:
    """A message in one queue, ready or delivered and not settled.

    `rank` is its place in the queue's order, which it keeps when it comes back. `position` is that in the journal,
    None for one that need not survive. `expires_at` is in epoch seconds. `returns` counts how often it came back.
    """

    message: Message
    rank: int
    priority: int = 0
    expires_at: float | None = None
    returns: int = 0
    redelivered: bool = False
    position: int | None = None


def to_payload(held: Held) -> bytes:
    """What the journal keeps of a message."""
    message = held.message
    exchange, routing_key = message.exchange.encode(), message.routing_key.encode()
    lengths = (len(exchange), len(routing_key), len(message.properties))
    facts = _LAYOUT.pack(held.expires_at or 0.0, held.returns, held.priority, message.died, *lengths)
    return b"".join((facts, exchange, routing_key, message.properties, message.body))


def from_payload(payload: bytes, position: int) -> Held:
    """The message again, ranked by its position. Its checksum has held, so it is what was written."""
    expires_at, returns, priority, died, *lengths = _LAYOUT.unpack_from(payload)
    exchange, rest = _cut(payload[_LAYOUT.size :], lengths[0])
    routing_key, rest = _cut(rest, lengths[1])
    message = Message(exchange.decode(), routing_key.decode(), *_cut(rest, lengths[2]), died)
    return Held(message, position, priority, expires_at or None, returns, position=position)


def _cut(data: bytes, length: int) -> tuple[bytes, bytes]:
    return data[:length], data[length:]
