"""The properties of a message as they are on the wire, changed without touching what the broker does not know.

Decoding and encoding them again would lose: text that is not UTF-8, the width of numbers, empty strings.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

from pamqp import decode, encode
from pamqp.commands import Basic

from penstock.embedded.broker.replies import PRECONDITION_FAILED, ChannelFault

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pamqp.common import FieldValue

# The flags of the properties that the broker reads or changes; bit 15 is the first property's, bit 2 the last one's.
_HEADERS, _DELIVERY_MODE, _PRIORITY = 1 << 13, 1 << 12, 1 << 11
_EXPIRATION, _TIMESTAMP = 1 << 8, 1 << 6
_ALL = tuple(1 << bit for bit in range(15, 1, -1))
#: Set when a second word of flags follows.
_MORE_FLAGS = 1
#: Bytes of the properties that are no strings.
_SIZES = {_DELIVERY_MODE: 1, _PRIORITY: 1, _TIMESTAMP: 8}
#: Milliseconds, about 49 days, as RabbitMQ has it.
LONGEST_TTL = 2**32 - 1
#: The delivery mode of a message that is to survive a restart.
_PERSISTENT = 2

_FLAGS = struct.Struct(">H")
_LONG = struct.Struct(">I")


class Facts(NamedTuple):
    """What a queue has to know of a message's properties; the time to live is in milliseconds."""

    persistent: bool = False
    priority: int = 0
    ttl: int | None = None


def decoded(properties: bytes) -> Basic.Properties:
    """The properties, decoded. Raises what pamqp raises on bytes that are none."""
    found = Basic.Properties()
    found.unmarshal(_flags(properties), properties[_FLAGS.size :])
    return found


def facts_of(properties: Basic.Properties) -> Facts:
    """What a queue has to know. Raises ChannelFault when the time to live is none."""
    expiration = properties.expiration
    ttl = None
    if expiration is not None:
        ttl = int(expiration) if expiration.isascii() and expiration.isdigit() else LONGEST_TTL + 1
        if ttl > LONGEST_TTL:
            text = f"invalid expiration '{expiration}': it must be milliseconds from 0 to {LONGEST_TTL}"
            raise ChannelFault(PRECONDITION_FAILED, text)
    return Facts(properties.delivery_mode == _PERSISTENT, properties.priority or 0, ttl)


def check(properties: bytes) -> None:
    """See that each property ends where it says: pamqp is lenient there, other clients are not.

    Raises ValueError, or what comes of reading past the end: IndexError, struct.error.
    """
    if _flags(properties) & _MORE_FLAGS:
        raise ValueError("there is no property beyond the fourteenth")
    *_, (_, _, end) = _walk(properties)
    start, after = _span(properties, _HEADERS)
    pairs = list(_pairs(properties[start + _LONG.size : after]))
    size = sum(len(name) + len(value) for name, value in pairs)
    complete = all(value for _, value in pairs) and size == max(0, after - start - _LONG.size)
    if end != len(properties) or not complete:
        raise ValueError("the properties do not end where they say")


def headers_of(properties: bytes) -> dict[str, bytes]:
    """The headers by name, each value still encoded, with its type."""
    start, end = _span(properties, _HEADERS)
    return {name[1:].decode(): value for name, value in _pairs(properties[start + _LONG.size : end])}


def header(properties: bytes, name: str) -> FieldValue:
    """The value of one header; None where it is absent."""
    encoded = headers_of(properties).get(name)
    return decode.embedded_value(encoded)[1] if encoded else None


def with_headers(properties: bytes, changes: Mapping[str, FieldValue]) -> bytes:
    """The same properties with some headers set; all others stay as they are, byte for byte."""
    encoded = {name: encode.encode_table_value(value) for name, value in changes.items()}
    pairs = headers_of(properties) | encoded
    table = b"".join(encode.short_string(name) + value for name, value in pairs.items())
    start, end = _span(properties, _HEADERS)
    flags = _flags(properties) | _HEADERS
    return b"".join(
        (_FLAGS.pack(flags), properties[_FLAGS.size : start], _LONG.pack(len(table)), table, properties[end:])
    )


def expiration_of(properties: bytes) -> str | None:
    """The time to live as the publisher wrote it; None where there is none."""
    start, end = _span(properties, _EXPIRATION)
    return properties[start + 1 : end].decode() if end > start else None


def without_expiration(properties: bytes) -> bytes:
    """The same properties without a time to live."""
    start, end = _span(properties, _EXPIRATION)
    return _FLAGS.pack(_flags(properties) & ~_EXPIRATION) + properties[_FLAGS.size : start] + properties[end:]


def _flags(properties: bytes) -> int:
    return int(_FLAGS.unpack_from(properties)[0])


def _span(properties: bytes, wanted: int) -> tuple[int, int]:
    """Where a property begins and ends; where it would, if it is absent."""
    return next((start, end) for flag, start, end in _walk(properties) if flag == wanted)


def _walk(properties: bytes) -> Iterator[tuple[int, int, int]]:
    """Flag, start and end of every property, in their order; those that are absent take no bytes."""
    flags, start = _flags(properties), _FLAGS.size
    for flag in _ALL:
        end = start
        if flags & flag:
            if flag == _HEADERS:
                end += _LONG.size + int(_LONG.unpack_from(properties, start)[0])
            else:
                end += _SIZES.get(flag) or 1 + properties[start]
        yield flag, start, end
        start = end


def _pairs(table: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names, as short strings, and values of a table, all as on the wire."""
    while table:
        length = 1 + table[0]
        size, _ = decode.embedded_value(table[length:])
        yield table[:length], table[length : length + size]
        table = table[length + size :]
