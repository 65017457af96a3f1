"""The story as it goes, on standard error: a table that changes in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Protocol

import typer
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.demo.snapshot import Snapshot, WorkerState

#: Seconds between two lines where nothing but numbers changed.
LINE_PERIOD = 1.0
#: Colours of a breaker's states.
_COLOURS = {"closed": "green", "half_open": "yellow", "open": "bold red"}


class Display(Protocol):
    """Where the story is told. It never raises: that nobody can read it must not keep the demo from cleaning up."""

    def say(self, text: str) -> None:
        """Tell what happens, in a line that stays."""

    def show(self, snapshot: Snapshot) -> None:
        """Show how everything is now."""

    def finish(self) -> None:
        """Show no more; what is told after that is told below."""


@contextmanager
def display() -> Iterator[Display]:
    """Show the story until the block ends."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield Lines(time.monotonic)
        return
    # Standard output stays what it is: the result may go elsewhere than the story.
    with Live(
        console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False
    ) as live:
        screen = Screen(live)
        try:
            yield screen
        finally:
            # By rich itself it would raise where the terminal is gone, and hide how the demo ended.
            screen.finish()


class Screen:
    """A table in place, and the lines that were told above it."""

    def __init__(self, live: Live) -> None:
        self._live = live

    def say(self, text: str) -> None:
        """Print the line above the table."""
        with self._while_there():
            self._live.console.print(Text(text), soft_wrap=True)

    def show(self, snapshot: Snapshot) -> None:
        """Draw the table anew."""
        with self._while_there():
            self._live.update(table(snapshot), refresh=True)

    def finish(self) -> None:
        """Remove the table."""
        with self._while_there():
            self._live.stop()

    @contextmanager
    def _while_there(self) -> Iterator[None]:
        """Give up the terminal once it is gone, or Python fails at its end for what it could not write there."""
        try:
            yield
        except OSError:
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, self._live.console.file.fileno())
            os.close(nowhere)


class Lines:
    """A line at each change of state, and at most one a LINE_PERIOD while only numbers change."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._start = clock()
        self._due = self._start
        self._state: tuple[object, ...] | None = None
        self._last = ""

    def say(self, text: str) -> None:
        """Print the line."""
        with suppress(OSError):
            typer.echo(f"penstock: {text}", err=True)

    def show(self, snapshot: Snapshot) -> None:
        """Print a line, if it is time for one or the state is another."""
        now, text = self._clock(), line(snapshot)
        if snapshot.state != self._state or (now >= self._due and text != self._last):
            self._due, self._state, self._last = now + LINE_PERIOD, snapshot.state, text
            self.say(f"{now - self._start:5.1f} s  {text}")

    def finish(self) -> None:
        """Do nothing: there is only what was said."""


def line(snapshot: Snapshot) -> str:
    """Return all of it in one line."""
    workers = "".join(f" | {worker.name}: {_words(worker)}" for worker in snapshot.workers)
    return f"published {snapshot.published:,} | {snapshot.stores}{workers}"


def _words(worker: WorkerState) -> str:
    numbers = f"held {worker.look.held:,}, queued {worker.queued:,}, {worker.rate:,.0f} records/s"
    return f"breaker {worker.breaker}, {numbers}"


def table(snapshot: Snapshot) -> Group:
    """Return all of it as a table, a row for each worker."""
    workers = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))  # all of it on a terminal of 80
    workers.add_column("worker", no_wrap=True)
    workers.add_column("breaker", no_wrap=True, min_width=len("half-open, paused"))
    for heading in ("written", "duplicates", "held", "queued", "per s"):
        workers.add_column(heading, justify="right", no_wrap=True)
    for worker in snapshot.workers:
        outcomes = worker.look.outcomes
        numbers = (outcomes.get("written", 0), outcomes.get("duplicate", 0), worker.look.held, worker.queued)
        breaker = Text(worker.breaker, style=_COLOURS.get(worker.look.breaker, ""))
        workers.add_row(worker.name, breaker, *(f"{number:,}" for number in numbers), f"{worker.rate:,.0f}")
    return Group(workers, Text(f"published {snapshot.published:,}; {snapshot.stores}\n"))
