"""Whether the broker takes what is published: it does not while it is short of memory or disk."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal

from penstock.errors import BrokerBlocked

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: What becomes of a publish meanwhile: it waits for its time limit, or raises BrokerBlocked at once.
Meanwhile = Literal["wait", "raise"]


class Blockage:
    """What the broker says with connection.blocked and connection.unblocked, on the connections of a publisher.

    `tell` is called at each change, with the broker's words or with "" when it takes messages again, as soon as that
    is read from the socket; it must not wait.
    """

    def __init__(self, tell: Callable[[str], None], meanwhile: Meanwhile) -> None:
        self._tell = tell
        self._meanwhile = meanwhile
        #: The connections that are blocked, and why.
        self._reasons: dict[object, str] = {}
        #: The time limits of publishes that are to end with the next notice, and what else is told of it.
        self._limits: set[asyncio.Timeout] = set()
        self._watching: set[Callable[[], None]] = set()
        self._over = asyncio.Event()
        self._over.set()

    @property
    def reason(self) -> str:
        """Why it takes nothing, in the broker's words; empty while it does."""
        return next(iter(self._reasons.values()), "")

    @property
    def trouble(self) -> str:
        """What is the matter, in one line; empty where nothing is."""
        return f"the broker takes no messages: {self.reason}" if self.reason else ""

    def begin(self, connection: object, reason: str) -> None:
        """Note that the broker has blocked a connection."""
        before = self.reason
        self._reasons[connection] = reason or "it gives no reason"
        if before:
            return
        self._over.clear()
        now = asyncio.get_running_loop().time()
        for limit in self._limits:
            if not limit.expired():
                limit.reschedule(now)
        for end in self._watching:
            end()
        self._tell(self.reason)

    def end(self, connection: object) -> None:
        """Note that a connection is not blocked any more, or is no more."""
        if self._reasons.pop(connection, None) is not None and not self._reasons:
            self._over.set()
            self._tell("")

    @property
    def refuses(self) -> bool:
        """Whether the broker takes nothing, and publishes are not to wait for it."""
        return bool(self.reason) and self._meanwhile == "raise"

    async def over(self) -> None:
        """Return once no connection is blocked: the broker takes messages, or a new connection will tell."""
        await self._over.wait()

    async def passable(self, seconds: float) -> None:
        """Return while the broker takes messages. Else raises BrokerBlocked, after so many seconds or at once."""
        if not self.reason:
            return
        trouble = self.trouble
        if self.refuses:
            raise BrokerBlocked(trouble)
        try:
            async with asyncio.timeout(seconds):
                await self.over()
        except TimeoutError:
            raise BrokerBlocked(f"{trouble}, for longer than {seconds:g} s") from None

    @contextmanager
    def ends(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Within the block, a notice ends the time limit, where publishes are not to wait."""
        if self._meanwhile == "wait":
            yield
            return
        self._limits.add(limit)
        try:
            yield
        finally:
            self._limits.discard(limit)

    def watch(self, end: Callable[[], None]) -> None:
        """Call `end` with each notice, where publishes are not to wait; it must not wait either."""
        if self._meanwhile == "raise":
            self._watching.add(end)

    def unwatch(self, end: Callable[[], None]) -> None:
        """Call it no more."""
        self._watching.discard(end)


def unheard() -> Blockage:
    """For publishes that wait, where nobody asks why."""
    return Blockage(lambda _reason: None, "wait")
