"""A clock moved by hand: sleeping takes no time and moves it, and chance always takes the middle."""

from __future__ import annotations

import asyncio


class ManualClock:
    """Satisfies penstock.clock.Clock; `slept` lists every sleep in seconds."""

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
