"""Headers as AMQP has them: a table of typed values, sent as it came.

The client library sends a double as a single, which cuts its digits or fails, and cuts names at 128 bytes.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from pamqp import encode
from pamqp.commands import Basic

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pamqp.common import FieldTable, FieldValue

_LENGTH = struct.Struct(">I")
#: What encoding raises for what AMQP cannot say; the last of them for tables in tables in tables.
NOT_AMQP = (TypeError, ValueError, struct.error, RecursionError)


class ExactProperties(Basic.Properties):
    """The properties of a message; its headers go out as they are."""

    def encode_property(self, name: str, value: FieldValue) -> bytes:
        """Encode one property. Raises TypeError, ValueError, struct.error for what AMQP cannot say."""
        if name == "headers" and isinstance(value, dict):
            return encoded_table(value)
        return super().encode_property(name, value)


def encoded_table(table: FieldTable) -> bytes:
    """The table in AMQP's bytes. Raises TypeError, ValueError, struct.error for what AMQP cannot say."""
    return _sized(encode.short_string(name) + _encoded(value) for name, value in table.items())


def _encoded(value: FieldValue) -> bytes:
    match value:
        case float():
            return b"d" + encode.double(value)
        case dict():
            return b"F" + encoded_table(value)
        case list():
            return b"A" + _sized(map(_encoded, value))
        case _:
            return encode.encode_table_value(value)


def _sized(parts: Iterable[bytes]) -> bytes:
    joined = b"".join(parts)
    return _LENGTH.pack(len(joined)) + joined
