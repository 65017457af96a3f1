"""AMQP frames as a broker sends them, good and bad ones."""

from __future__ import annotations

import struct

from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

FRAME_MAX = 131_072
#: The tag of the consumer whose deliveries are taken.
OURS = "penstock-1"
HEARTBEAT = Heartbeat().marshal()


def raw_frame(kind: int, channel: int, payload: bytes) -> bytes:
    """A frame of any type, with anything in it."""
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + b"\xce"


def short(text: str | bytes) -> bytes:
    """A short string."""
    encoded = text if isinstance(text, bytes) else text.encode()
    return bytes([len(encoded)]) + encoded


def sized(payload: bytes) -> bytes:
    """A table, an array or a long string, by what is in it."""
    return struct.pack(">I", len(payload)) + payload


def delivered(tag: int, body: bytes = b"{}", consumer_tag: str = OURS, channel: int = 1) -> bytes:
    """One delivery, all of its frames."""
    deliver = Basic.Deliver(consumer_tag, tag, redelivered=False, exchange="shop", routing_key="order")
    header = ContentHeader(0, len(body), Basic.Properties(delivery_mode=2))
    parts = [ContentBody(body[at : at + FRAME_MAX - 8]) for at in range(0, len(body), FRAME_MAX - 8)]
    return b"".join(frame.marshal(one, channel) for one in (deliver, header, *parts))
