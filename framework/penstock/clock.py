"""Time and chance, injected, so that tests move both by hand."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol


class Clock(Protocol):
    """What the runtime asks of time and chance."""

    def monotonic(self) -> float:
        """Seconds that never run backwards."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""

    async def sleep(self, seconds: float) -> None:
        """Wait."""

    def uniform(self, low: float, high: float) -> float:
        """A random number between low and high."""


class SystemClock:
    """The machine's own clock and the standard library's random numbers."""

    monotonic = staticmethod(time.monotonic)
    now = staticmethod(time.time)
    sleep = staticmethod(asyncio.sleep)
    uniform = staticmethod(random.uniform)
