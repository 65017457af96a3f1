"""Looks at the servers again and again while a drill goes on; afterwards it can be said when what happened."""

from __future__ import annotations

import asyncio
import bisect
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

#: Seconds between two looks at a server that did not answer, or not long ago; and at one that answers all the time.
CLOSELY = 0.05
CALMLY = 0.2
#: For how many seconds a server is looked at closely once it answers again.
AGAIN = 20.0
#: How long one look may take, in seconds.
LIMIT = 10.0


class Look(Protocol):
    """One question to one server, whose answer is a number."""

    async def ask(self) -> int:
        """Ask; raises whatever it likes where there is no answer."""

    async def close(self) -> None:
        """Give its connection back; never raises."""


@dataclass(slots=True)
class Samples:
    """What was seen of one server: at these times (seconds of the monotonic clock) these counts; None: no answer."""

    times: list[float] = field(default_factory=list)
    counts: list[int | None] = field(default_factory=list)

    def add(self, at: float, count: int | None) -> None:
        """Enter one look."""
        self.counts.append(count)
        self.times.append(at)

    @property
    def last(self) -> int:
        """The last count seen; 0 where there is none yet."""
        return next((count for count in reversed(self.counts) if count is not None), 0)

    def answered(self, since: float) -> float | None:
        """When it first answered from that time on; None where it did not."""
        return next((at for at, count in self._from(since) if count is not None), None)

    def rose(self, since: float) -> float | None:
        """When its count first rose over what it was at its first answer from that time on; None where it did not."""
        first: int | None = None
        for at, count in self._from(since):
            if count is None:
                continue
            if first is None:
                first = count
            if count > first:
                return at
        return None

    def reached(self, count: int, since: float = 0.0) -> float | None:
        """When it first had that many from that time on; None where it never had."""
        return next((at for at, seen in self._from(since) if seen is not None and seen >= count), None)

    def _from(self, since: float) -> list[tuple[float, int | None]]:
        start = bisect.bisect_left(self.times, since)
        # The times are entered last: there may be a count more.
        return list(zip(self.times[start:], self.counts[start:], strict=False))


class Watch:
    """Asks each of the named looks again and again, in a thread of its own. A look that raises is no answer.

    `calmly`: seconds between two looks at a server that answers all the time.
    """

    def __init__(self, looks: Mapping[str, Look], calmly: float = CALMLY) -> None:
        self.samples = {name: Samples() for name in looks}
        self._looks = looks
        self._calmly = calmly
        self._ended = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="watch")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            for name, look in self._looks.items():
                tasks.create_task(self._look_on(self.samples[name], look))

    async def _look_on(self, samples: Samples, look: Look) -> None:
        calm_from = 0.0
        while not self._ended.is_set():
            count = await _one_look(look)
            now = time.monotonic()
            samples.add(now, count)
            if count is None:
                calm_from = now + AGAIN
            await asyncio.sleep(self._calmly if now > calm_from else CLOSELY)
        await look.close()


async def _one_look(look: Look) -> int | None:
    try:
        async with asyncio.timeout(LIMIT):
            return await look.ask()
    except Exception:  # noqa: BLE001 a server that is broken on purpose fails in any way; each is "no answer"
        return None
