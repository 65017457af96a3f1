"""A message as it goes to the broker: basic.publish, the content header and the body, in AMQP's frames."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import TYPE_CHECKING

from pamqp import frame
from pamqp.commands import Basic
from pamqp.header import ContentHeader

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Before the payload of a frame: its type, its channel, its length in bytes. One byte stands behind it.
_FRAME = struct.Struct(">BHI")
_FRAME_END = b"\xce"
_HEADER, _BODY = 2, 3


def frames_of(
    channel: int, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties, frame_max: int
) -> bytes:
    """All frames of one mandatory publish; `frame_max` is the size of a frame that was agreed on, 0 for no limit.

    Raises TypeError, ValueError, struct.error for what AMQP cannot say.
    """
    header = ContentHeader(0, len(body), properties).marshal()
    parts = [_method(channel, exchange, routing_key), _FRAME.pack(_HEADER, channel, len(header)), header, _FRAME_END]
    for part in _parts(body, frame_max):
        parts += (_FRAME.pack(_BODY, channel, len(part)), part, _FRAME_END)
    return b"".join(parts)


@lru_cache(maxsize=1024)
def _method(channel: int, exchange: str, routing_key: str) -> bytes:
    """The frame of basic.publish: many messages share it."""
    return frame.marshal(Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True), channel)


def _parts(body: bytes, frame_max: int) -> Iterator[bytes]:
    """What goes into each frame of the body; an empty one has none."""
    room = frame_max - _FRAME.size - len(_FRAME_END) if frame_max else len(body)
    if len(body) <= room:
        return iter((body,) if body else ())
    return (body[at : at + room] for at in range(0, len(body), room))
