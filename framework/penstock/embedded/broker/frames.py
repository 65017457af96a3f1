"""Frames: bytes of the wire taken apart and put together."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from pamqp import frame as pamqp_frame
from pamqp.body import ContentBody
from pamqp.commands import INDEX_MAPPING, Basic
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from penstock.embedded.broker.properties import check
from penstock.embedded.broker.replies import COMMAND_INVALID, FRAME_ERROR, SYNTAX_ERROR, ConnectionFault

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pamqp.base import Frame

    from penstock.embedded.broker.message import Message

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
#: The largest frame, in bytes, that the broker offers; and the smallest that a client may ask for.
LARGEST_FRAME = 131_072
SMALLEST_FRAME = 4_096
#: Bytes of a frame around its payload.
OVERHEAD = 8

_START = struct.Struct(">BHI")
_END = 0xCE
_INDEX = struct.Struct(">I")
_CONTENT = struct.Struct(">HHQ")
_BASIC = 60

#: What pamqp raises on bytes that are no frame.
_UNDECODABLE = (
    PAMQPException,
    struct.error,
    LookupError,
    ValueError,
    TypeError,
    ArithmeticError,
    OSError,
    RecursionError,
)


class Content(NamedTuple):
    """What a content header says: the size of the body, and the properties, decoded and as they came."""

    size: int
    properties: Basic.Properties
    raw: bytes


class Splitter:
    """Cuts what a socket read into frames; `largest` is the size of a frame, in bytes, that was agreed on."""

    def __init__(self) -> None:
        self.largest = LARGEST_FRAME
        self._rest = b""

    def split(self, data: bytes) -> Iterator[tuple[int, int, bytes]]:
        """Type, channel and payload of each frame that is complete. Raises ConnectionFault on what is none."""
        data = self._rest + data if self._rest else data
        self._rest = b""
        start = 0
        while len(data) - start >= _START.size:
            kind, channel, size = _START.unpack_from(data, start)
            if kind not in {METHOD, HEADER, BODY, HEARTBEAT}:
                raise ConnectionFault(FRAME_ERROR, f"frame of unknown type {kind}")
            if size > self.largest - OVERHEAD:
                raise ConnectionFault(FRAME_ERROR, f"frame of {size + OVERHEAD} bytes: {self.largest} were agreed on")
            end = start + _START.size + size
            if end >= len(data):
                break
            if data[end] != _END:
                raise ConnectionFault(FRAME_ERROR, "frame without its end octet")
            yield kind, channel, data[start + _START.size : end]
            start = end + 1
        self._rest = data[start:]


def read_method(payload: bytes) -> Frame:
    """The method of a frame. Raises ConnectionFault."""
    kind = INDEX_MAPPING.get(_INDEX.unpack_from(payload)[0]) if len(payload) >= _INDEX.size else None
    if kind is None:
        raise ConnectionFault(COMMAND_INVALID, f"unknown method {payload[: _INDEX.size].hex()}")
    method: Frame = kind()
    try:
        method.unmarshal(payload[_INDEX.size :])
    except _UNDECODABLE as error:
        raise ConnectionFault(SYNTAX_ERROR, f"the arguments of {method.name} cannot be read") from error
    return method


def read_content(payload: bytes) -> Content:
    """The content header of a frame. Raises ConnectionFault."""
    header = ContentHeader()
    try:
        _, _, size = _CONTENT.unpack_from(payload)
        raw = payload[_CONTENT.size :]
        check(raw)
        header.unmarshal(payload)
    except _UNDECODABLE as error:
        raise ConnectionFault(SYNTAX_ERROR, "the properties of a message cannot be read") from error
    return Content(size, header.properties, raw)


def method_frame(channel: int, method: Frame) -> bytes:
    """A method on the wire."""
    return pamqp_frame.marshal(method, channel)


def heartbeat_frame() -> bytes:
    """A heartbeat on the wire."""
    return pamqp_frame.marshal(Heartbeat(), 0)


def message_frames(channel: int, method: Frame, properties: bytes, message: Message, largest: int) -> list[bytes]:
    """A delivery or return on the wire: the method, the properties, the body in as many frames as it takes."""
    body = message.body
    header = _CONTENT.pack(_BASIC, 0, len(body)) + properties
    frames = [method_frame(channel, method), _START.pack(HEADER, channel, len(header)), header, bytes((_END,))]
    step = largest - OVERHEAD
    frames.extend(
        pamqp_frame.marshal(ContentBody(body[start : start + step]), channel) for start in range(0, len(body), step)
    )
    return frames
