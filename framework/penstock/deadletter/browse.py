"""Browsing a DLQ: its letters one after the other, oldest first, each back in its place at the end.

They are consumed and held, and the channel is closed at the end: on a classic queue that keeps order and depth, counts
for no limit, and changes nothing but the flag `redelivered`. The broker sends a window of letters at a time, and each
window is a new consumer of the same channel: so this process has two windows at most, however many letters there are.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import structlog

from penstock.broker import close, connect, open_channel, request
from penstock.deadletter.queue_kind import ready_in_classic
from penstock.deadletter.view import Letter, letter_of
from penstock.errors import LinkError
from penstock.generation import Generation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from penstock.delivery import Delivery
    from penstock.settings import RabbitMQ

log = structlog.get_logger(__name__)

#: Letters the broker may send ahead, and bytes of bodies, reckoned by those of the window before.
LARGEST_WINDOW = 500
WINDOW_BYTES = 16 * 1024 * 1024
#: Seconds without a letter before the queue is looked at, and before a broker that sends none is given up.
QUIET = 0.2
SILENT = 30.0
#: Looks in a row that must find no letter ready before those that are still to come are held to have been taken.
EMPTY_LOOKS = 2
#: Seconds for the broker to put all letters back in their places.
GIVE_BACK = 120.0


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """A letter that is held; it goes back to its place at the end of the browse, unless its `tag` is removed."""

    letter: Letter
    tag: int


@dataclass(slots=True, eq=False)
class _Window:
    """A consumer: letters asked for, and sent."""

    asked: int
    sent: int = 0


class Letters:
    """The letters of one browse: iterate once. `ready` is how many were there at the start."""

    def __init__(self, generation: Generation, queue: str, ready: int, limit: int | None) -> None:
        self.ready = ready
        self._wanted = ready if limit is None else min(ready, limit)
        self._generation = generation
        self._queue = queue
        self._arrived: deque[Delivery] = deque()
        self._changed = asyncio.Event()
        #: By the tags of consumers.
        self._windows: dict[str, _Window] = {}
        #: The letters up to this tag, which count 1, 2, 3 …, are removed, each of them.
        self._removed = 0

    async def __aiter__(self) -> AsyncIterator[Held]:
        """Oldest first: those that were ready at the start, less what others took meanwhile. Raises LinkError."""
        position = asked = letters = size = 0
        while position < self._wanted:
            # Asked for early, so that the broker sends the next ones while these are looked at.
            window = next_window(position, letters, size)
            if asked < self._wanted and asked - position <= window // 2:
                more = min(window, self._wanted - asked)
                asked += more
                await self._ask(more)
                letters = size = 0
            delivery = await self._next()
            if delivery is None:
                return
            yield Held(letter_of(self._queue, position, delivery), delivery.tag)
            position, letters, size = position + 1, letters + 1, size + len(delivery.body)

    async def _ask(self, letters: int) -> None:
        """Have so many more letters sent, to a new consumer; end those that have got theirs, which stay held."""
        window = _Window(letters)
        await self._generation.consume(self._queue, letters, partial(self._received, window))
        self._windows[self._generation.consumer_tag or ""] = window
        # Not sooner: the broker shares letters out among consumers, and what one was not sent would be missed.
        for tag in [tag for tag, window in self._windows.items() if window.sent >= window.asked]:
            await self._generation.cancel_one(tag)
            del self._windows[tag]

    def check(self) -> None:
        """Raise LinkError where the letters are held no more: they are back in the DLQ, and cannot be removed."""
        if self._generation.ended.is_set():
            raise LinkError(f"a letter of {self._queue} cannot be removed: {self._generation.why}")

    async def remove(self, tags: Sequence[int]) -> None:
        """Take letters out of the DLQ for good, once `settled`; `tags` as they were delivered. Raises LinkError."""
        self.check()
        channel, before = self._generation.channel, self._removed
        # Where no letter is left between them and those removed before, one ack is for all.
        for tag in tags:
            if tag == self._removed + 1:
                self._removed = tag
        async with request(f"letters of {self._queue} cannot be removed"):
            if self._removed > before:
                await channel.basic_ack(self._removed, multiple=True, wait=False)
            for tag in tags:
                if tag > self._removed:
                    await channel.basic_ack(tag, wait=False)

    async def settled(self) -> None:
        """Return once the broker has taken every removal so far, so that a kill undoes none. Raises LinkError."""
        # Commands of one channel are worked off in order: with the answer to this one, those before it are done.
        await self._left()

    def _received(self, window: _Window, deliveries: Sequence[Delivery]) -> None:
        window.sent += len(deliveries)
        self._arrived += deliveries
        self._changed.set()

    async def _next(self) -> Delivery | None:
        """The next letter; None once the queue is found empty. Raises LinkError where none comes, though it is not."""
        silent, empty = 0.0, 0
        while not self._arrived:
            if self._generation.ended.is_set():
                raise LinkError(f"{self._queue} cannot be read on: {self._generation.why}")
            self._changed.clear()
            try:
                async with asyncio.timeout(QUIET):
                    await self._changed.wait()
            except TimeoutError:
                silent += QUIET
                left = await self._left()
                # The first answer may have overtaken letters that were on their way; the second came behind them.
                empty = 0 if left else empty + 1
                if empty == EMPTY_LOOKS and not self._arrived:
                    return None
                if silent >= SILENT and not self._arrived:
                    text = f"{left} letters are ready in {self._queue}, and the broker sends none"
                    raise LinkError(f"{text}: end its other consumers") from None
        return self._arrived.popleft()

    async def _left(self) -> int:
        async with request(f"cannot look at {self._queue}"):
            answer = await self._generation.channel.queue_declare(self._queue, passive=True)
        return answer.message_count or 0


def next_window(seen: int, letters: int, size: int) -> int:
    """How many letters to ask for next, when so many were `seen`, the last `letters` of them with `size` bytes.

    Twice as many as were seen, if that many of the last ones' size fit.
    """
    fitting = WINDOW_BYTES * letters // size if size else LARGEST_WINDOW
    return max(1, min(2 * seen, fitting, LARGEST_WINDOW))


@asynccontextmanager
async def browsing(settings: RabbitMQ, queue: str, *, limit: int | None = None) -> AsyncIterator[Letters]:
    """The letters that are ready in a DLQ, over a connection of their own; what is not removed is back at the end.

    `limit` is how many to read at most. Raises LinkError, TopologyMissing where there is no such queue, TopologyError
    where it is none that can be read without harm. The broker takes a channel that holds letters for longer than its
    consumer_timeout (30 minutes) for dead, and closes it: a LinkError.
    """
    connection = await connect(settings, f"{queue} browse")
    try:
        ready = await ready_in_classic(connection, queue)
        channel = await open_channel(connection, confirms=False)
        generation = Generation(1, channel, 0.0, connection.receiver)
        channel.closing.add_done_callback(generation.closed)
        channel.on_consumer_cancel_callbacks.add(lambda _: generation.end("the broker cancelled the consumer"))
        try:
            yield Letters(generation, queue, ready, limit)
        finally:
            if not await close(channel, GIVE_BACK):
                log.warning("letters_given_back_late", queue=queue)
    finally:
        await close(connection)
