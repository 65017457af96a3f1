"""What a demo runs on: its folder, its stack and its workers, set up and cleared away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.demo.environment import environment_of_workers
from penstock.demo.tasks import whole
from penstock.demo.workers import WorkerProcess

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from penstock.embedded.stack import Stack

#: Lines of each log that are shown after a failure.
LOG_LINES = 12


class Stage:
    """Everything a demo starts, in the folder of its stack; and so everything it has to end."""

    def __init__(self, stack: Stack, say: Callable[[str], None]) -> None:
        self.stack = stack
        self.workers: list[WorkerProcess] = []
        self._say = say

    async def prepare(self) -> None:
        """End and remove what an earlier demo left, if it was killed or kept; start the stack. Raises StackError."""
        # No server may be left halfway: an interrupt has to wait for these few seconds.
        await whole(self._prepare())

    async def stop(self, server: str) -> None:
        """End one server of the stack. Raises StackError."""
        await whole(self.stack.stop(server))

    async def start(self, server: str) -> None:
        """Start one server of the stack and wait until it answers. Raises StackError."""
        await whole(self.stack.start(server))

    async def employ(self, names: Iterable[str], environ: Mapping[str, str], *, debug: bool) -> Mapping[str, str]:
        """Start workers and wait until all are ready; return their environment. Raises PenstockError."""
        environment = environment_of_workers(environ, self.stack.environment(), debug=debug)
        for name in names:
            worker = WorkerProcess(name, environment, self.stack.folder)
            self.workers.append(worker)
            # At once, so that the next demo can end it if we are killed.
            self.stack.adopt(name, worker.pid)
        await asyncio.gather(*(worker.until_ready() for worker in self.workers))
        return environment

    async def clear(self) -> None:
        """End and remove everything. Raises StackError where something cannot be ended."""
        await asyncio.gather(*(worker.stop() for worker in self.workers))
        await self.stack.down(_unsaid)
        self.stack.remove()

    def kill_workers(self) -> None:
        """End the workers by force: what they hold goes back to the queues."""
        for worker in self.workers:
            worker.kill()

    def log_ends(self) -> Iterator[str]:
        """Yield the last lines of every log, each with the name of its process before it."""
        for log in sorted(self.stack.folder.glob("*.log")):
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            yield from (f"{log.stem}: {line}" for line in lines[-LOG_LINES:])

    async def _prepare(self) -> None:
        if self.stack.folder.exists():
            self._say(f"an earlier demo was killed or kept: what it left in {self.stack.folder} is ended and removed")
            await self.stack.down(_unsaid)
            self.stack.remove()
        await self.stack.up(self._say)


def _unsaid(_text: str) -> None:
    """Say nothing: the demo has said it in words of its own."""
