"""Clocks for tests: one moved by hand, and the machine's own, watched."""

from __future__ import annotations

import asyncio
import random
import time


class ManualClock:
    """Sleeping takes no time and moves it, and chance takes the middle. `slept` lists every sleep in seconds."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.time

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)

    def uniform(self, low: float, high: float) -> float:
        return (low + high) / 2


class SteppedClock(ManualClock):
    """Sleepers wait until a test has moved the time as far."""

    def __init__(self) -> None:
        super().__init__()
        self._sleepers: list[tuple[float, asyncio.Event]] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        if seconds > 0:
            woken = asyncio.Event()
            self._sleepers.append((self.time + seconds, woken))
            await woken.wait()

    def advance(self, seconds: float) -> None:
        """Move the time, and wake whoever has slept enough."""
        self.time += seconds
        for until, woken in self._sleepers:
            if until <= self.time:
                woken.set()
        self._sleepers = [(until, woken) for until, woken in self._sleepers if until > self.time]


class WatchedClock:
    """The machine's clock. `slept` lists every sleep begun, `ahead` is how far it runs ahead, both in seconds."""

    now = staticmethod(time.time)
    uniform = staticmethod(random.uniform)

    def __init__(self) -> None:
        self.ahead = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return time.monotonic() + self.ahead

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(seconds)
