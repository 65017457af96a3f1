"""Ctrl-C and SIGTERM while files are published, or servers started and ended."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from penstock import event_loop

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from types import FrameType


class Interrupt:
    """The signal that came, if one did, and whether it may wait.

    Where messages are on their way (`sending`) the first signal only leaves its `number` here, so that their
    confirms are waited for. A second one, one that finds nothing on its way, and one that finds a reader at
    work (`reading`: it may wait for a pipe for ever) raise KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.number = 0
        self.reading = False
        self.sending = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for both signals; as before at the end."""
        # Not the event loop's handlers: while a reader waits for a pipe, the loop does not turn.
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        at_once = self.number or self.reading or not self.sending
        self.number = number
        if at_once:
            raise KeyboardInterrupt


def run_to_its_end(action: Coroutine[Any, Any, None]) -> None:
    """Run `action`; the first SIGINT, SIGTERM or SIGHUP cancels it, and it clears up. Raises typer.Exit after one."""
    interrupted = event_loop.run(_watched(action))
    if interrupted:
        raise typer.Exit(128 + interrupted)  # as shells tell the end by a signal


async def _watched(action: Coroutine[Any, Any, None]) -> int:
    task = asyncio.create_task(action)
    loop, seen = asyncio.get_running_loop(), [0]

    def interrupt(number: int) -> None:
        if not seen[0]:
            seen[0] = number
            typer.echo("penstock: interrupted: ending what this command has started", err=True)
            task.cancel()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, interrupt, number)
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()
    return seen[0]
