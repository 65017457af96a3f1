"""Tables on standard output: fitted to a terminal, unbroken lines elsewhere."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: Wide enough never to break a line for a program that reads it.
_UNBROKEN = 10_000


def show_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of plain texts; the last column gives way where it gets narrow."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading != headings[-1])
    for row in rows:
        # As Text, so that the brackets in penstock[table] are no markup.
        table.add_row(*map(Text, row))
    width = None if sys.stdout.isatty() else _UNBROKEN
    Console(highlight=False, width=width).print(table)
