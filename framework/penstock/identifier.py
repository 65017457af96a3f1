"""Ids of messages, made before they are sent: UUIDv7, which sort by time (RFC 9562, section 5.7 and 6.2, method 3)."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from uuid import UUID

if TYPE_CHECKING:
    from penstock.clock import Clock

#: Bits of the time within a millisecond.
_FRACTION = 12
_RANDOM = 62


class Identifiers:
    """Gives each id once; within one process each is above the one before, even where the clock goes back."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def next(self) -> str:
        """A new id, as 36 characters."""
        now = int(self._clock.now() * 1000 * (1 << _FRACTION))
        self._last = max(now, self._last + 1)
        milliseconds, fraction = divmod(self._last, 1 << _FRACTION)
        high = milliseconds << 16 | 0x7 << 12 | fraction
        low = 0b10 << _RANDOM | secrets.randbits(_RANDOM)
        return str(UUID(int=high << 64 | low))
