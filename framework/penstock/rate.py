"""How many a second, lately."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.clock import Clock

#: What counts as lately, in seconds.
SPAN = 10


class Rate:
    """Counts by the second, for the last `SPAN` of them. May be asked from any thread."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._counts: deque[tuple[int, int]] = deque()

    def add(self) -> None:
        """One more."""
        second = int(self._clock.monotonic())
        count = self._counts.pop()[1] if self._counts and self._counts[-1][0] == second else 0
        self._counts.append((second, count + 1))
        while self._counts[0][0] <= second - SPAN:
            self._counts.popleft()

    def per_second(self) -> float:
        """The mean of the last `SPAN` seconds, this one included."""
        forgotten = int(self._clock.monotonic()) - SPAN
        return sum(count for second, count in tuple(self._counts) if second > forgotten) / SPAN
