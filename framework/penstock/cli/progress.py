"""How far a publish is: a bar on a terminal, a line every few seconds elsewhere; both on standard error."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.filesize import decimal
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: Told the file being read, the bytes read of all files, and the messages confirmed.
    Report = Callable[[str, int, int], None]

#: Seconds between two looks of a bar, and two lines.
_BAR_PERIOD = 0.1
_LINE_PERIOD = 5.0
#: Columns of the bar itself, so that all of it fits on a terminal of 80.
_BAR_WIDTH = 12


@contextmanager
def progress(total: int | None) -> Iterator[Report]:
    """Show what is reported until the block ends. `total` is the bytes to be read, None where nobody can know."""
    console = Console(stderr=True)
    if not console.is_terminal:
        yield seldom(_LINE_PERIOD, lines(total, time.monotonic()), time.monotonic)
        return
    with Progress(
        TextColumn("{task.description}", table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis")),
        BarColumn(_BAR_WIDTH),
        # Reading runs ahead of the broker's confirms.
        TextColumn("read", table_column=Column(no_wrap=True)),
        DownloadColumn(table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[confirmed]:,} confirmed", table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[rate]:,.0f}/s", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(compact=True, table_column=Column(no_wrap=True)),
        console=console,
        expand=True,
        transient=True,
    ) as bar:
        task = bar.add_task("", total=total, confirmed=0, rate=0)
        start = time.monotonic()

        def show(file: str, consumed: int, confirmed: int) -> None:
            rate = confirmed / max(time.monotonic() - start, 0.001)
            bar.update(task, description=file, completed=consumed, confirmed=confirmed, rate=rate)

        yield seldom(_BAR_PERIOD, show, time.monotonic)


def seldom(period: float, report: Report, clock: Callable[[], float]) -> Report:
    """Return a report that passes on what it is told at most once in `period` seconds."""
    due = clock() + period

    def perhaps(file: str, consumed: int, confirmed: int) -> None:
        nonlocal due
        if clock() >= due:
            due = clock() + period
            report(file, consumed, confirmed)

    return perhaps


def lines(total: int | None, start: float, clock: Callable[[], float] = time.monotonic) -> Report:
    """Return a report that prints a line: messages confirmed, rate, bytes read, the time left if `total` is known."""

    def show(file: str, consumed: int, confirmed: int) -> None:
        seconds = max(clock() - start, 0.001)
        text = f"{file}: {confirmed:,} messages confirmed, {confirmed / seconds:,.0f}/s, read {decimal(consumed)}"
        if total and consumed:
            left = seconds * max(total - consumed, 0) / consumed
            text += f" of {decimal(total)} ({consumed / total:.0%}), {left:.0f} s left"
        typer.echo(f"penstock: {text}", err=True)

    return show
