"""Tables on standard output: fitted to a terminal, lines of fields between tabs elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of plain texts; the last column gives way where a terminal gets narrow."""
    # Standard output is None where it was closed (>&-).
    if sys.stdout is None or not sys.stdout.isatty():
        for row in (headings, *rows):
            typer.echo("\t".join(row))
        return
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading != headings[-1])
    for row in rows:
        # As Text, so that the brackets in penstock[table] are no markup.
        table.add_row(*map(Text, row))
    Console(highlight=False).print(table)


def printable(text: str) -> str:
    """Return one line of text with what would move a terminal's cursor, or do worse, as escapes."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else ascii(one)[1:-1] for one in text)
