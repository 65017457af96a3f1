"""How much a journal may hold, and how much it does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

#: Stands for "as much as there is room for".
_NO_LIMIT = float("inf")


@dataclass(frozen=True, slots=True)
class Bounds:
    """Entries and bytes of payload of a whole journal, and the seconds that the oldest entry of a stream may wait."""

    records: float = _NO_LIMIT
    byte_size: float = _NO_LIMIT
    age: float = _NO_LIMIT


class Usage(NamedTuple):
    """Entries, and bytes of their payloads."""

    records: int = 0
    byte_size: int = 0

    def within(self, records: int, byte_size: int) -> bool:
        """Whether it is no more than that."""
        return self.records <= records and self.byte_size <= byte_size

    def plus(self, other: Usage) -> Usage:
        """Both together."""
        return Usage(self.records + other.records, self.byte_size + other.byte_size)

    def minus(self, other: Usage) -> Usage:
        """This one without the other."""
        return Usage(self.records - other.records, self.byte_size - other.byte_size)


def refusal(bounds: Bounds, held: Usage, more: Usage, waiting: float) -> str | None:
    """Which bound `more` would break beside what is held, in words; `waiting` is the age of the stream in seconds."""
    total = held.plus(more)
    if total.records > bounds.records:
        return f"it may hold {bounds.records:,} records"
    if total.byte_size > bounds.byte_size:
        return f"it holds {held.byte_size:,} bytes and may hold {bounds.byte_size:,}, this one has {more.byte_size:,}"
    if waiting > bounds.age:
        return f"its oldest record waits {waiting:,.0f} s, {bounds.age:,.0f} are allowed"
    return None
