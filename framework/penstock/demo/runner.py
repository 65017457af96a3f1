"""Runs a script and clears away what it started, however it ends."""

from __future__ import annotations

import asyncio
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.demo.progress import Display
    from penstock.demo.script import Result, Script
    from penstock.demo.stage import Stage

#: What ends a demo from outside: Ctrl-C, kill, the closing of its terminal.
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """A signal ended the demo; everything is cleared away."""

    def __init__(self, number: int) -> None:
        super().__init__(f"ended by signal {number}")
        self.number = number


async def run(
    script: Script,
    stage: Stage,
    display: Display,
    present: Callable[[Result], None],
    *,
    redact: Callable[[str], str],
    keep: bool,
) -> Result:
    """Play a script, present its result, clear the stage; with `keep` a stage whose demo went well stays.

    Raises what the script raises (a PenstockError after the ends of all logs, through `redact`), Interrupted, and a
    StackError where the stage could not be cleared; that one is only told if the script failed as well.
    """

    async def all_of_it() -> Result:
        result = await script.play(stage, display)
        display.finish()
        present(result)
        return result

    playing = asyncio.create_task(all_of_it(), name="script")
    with _interrupts(playing, stage, display) as interrupts:
        await asyncio.wait({playing})
        error = None if playing.cancelled() else playing.exception()
        # Not for a standard output that nobody reads to its end, say.
        if isinstance(error, PenstockError) and not interrupts:
            display.finish()
            for line in stage.log_ends():
                display.say(redact(line))
        if error or interrupts or not keep:
            try:
                await stage.clear()
                display.say(f"ended the workers and the stack, and removed {stage.stack.folder}")
            except Exception as failure:
                if error is None or interrupts:
                    raise
                # What went wrong first is what people have to know; it may well be the reason for this.
                display.say(redact(f"not everything could be ended: {failure}"))
                raise error from failure
    if interrupts:
        raise Interrupted(interrupts[0])
    return playing.result()


@contextmanager
def _interrupts(playing: asyncio.Task[Result], stage: Stage, display: Display) -> Iterator[list[int]]:
    """Let the first signal end what is played, and further ones kill the workers; yields the signals so far."""
    loop = asyncio.get_running_loop()
    seen: list[int] = []

    def interrupt(number: int) -> None:
        if seen:
            stage.kill_workers()
        else:
            display.say("interrupted: ending everything that was started")
            playing.cancel()
        seen.append(number)

    for number in _SIGNALS:
        loop.add_signal_handler(number, interrupt, number)
    try:
        yield seen
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
