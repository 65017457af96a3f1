"""Iterate in a thread, so that a source that makes one wait (a pipe, a slow disk) holds up nothing else."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

T = TypeVar("T")

#: Items read ahead at most. Full, it is read on when half of them are taken: few items cost a change of threads.
ROOM = 1000


class _Reading(Generic[T]):
    """What the reading thread and the event loop share. Only the thread appends, only the loop takes."""

    def __init__(self) -> None:
        self.ready: deque[T] = deque()
        self.failure: BaseException | None = None
        self.over = False
        self.left = threading.Event()
        self.room = threading.Event()
        self.changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()

    def read(self, items: Iterable[T]) -> None:
        """Run in the thread, to the end of the items or until the loop has left."""
        try:
            for item in items:
                self._wait_for_room()
                if self.left.is_set():
                    return
                self.ready.append(item)
                if len(self.ready) == 1:
                    self._loop.call_soon_threadsafe(self.changed.set)
        except BaseException as error:  # noqa: BLE001 it is raised again where the items are wanted
            self.failure = error
        self.over = True
        if not self.left.is_set():
            self._loop.call_soon_threadsafe(self.changed.set)

    def take(self) -> T:
        """Called by the loop, where there is something."""
        if len(self.ready) == ROOM // 2:
            self.room.set()
        return self.ready.popleft()

    def _wait_for_room(self) -> None:
        # First the event, then the look: what is taken in between sets it again.
        self.room.clear()
        if len(self.ready) >= ROOM and not self.left.is_set():
            self.room.wait()


async def read_ahead(items: Iterable[T]) -> AsyncGenerator[T]:
    """Yield the items in order, each as soon as it is there. Raises what the iteration raises, after what came before.

    Left early, the thread ends with the next item it gets; it is a daemon, and keeps no process alive.
    """
    reading: _Reading[T] = _Reading()
    threading.Thread(target=reading.read, args=(items,), name="read ahead", daemon=True).start()
    try:
        # `over` is read first: once it is true, everything that was read is in `ready`.
        while not reading.over or reading.ready:
            reading.changed.clear()
            if not reading.ready and not reading.over:
                await reading.changed.wait()
            while reading.ready:
                yield reading.take()
    finally:
        reading.left.set()
        reading.room.set()
    if reading.failure is not None:
        raise reading.failure
