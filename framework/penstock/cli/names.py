"""Worker names as arguments: completed by the shell, and loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.discovery import load_worker, worker_names
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.worker import Worker


def _complete(incomplete: str) -> list[str]:
    return [name for name in worker_names() if name.startswith(incomplete)]


Name = Annotated[str, typer.Argument(metavar="NAME", help="A worker; see penstock list.", autocompletion=_complete)]
Names = Annotated[
    list[str], typer.Argument(metavar="NAME...", help="Workers; see penstock list.", autocompletion=_complete)
]
NamesOrAll = Annotated[
    list[str] | None,
    typer.Argument(metavar="[NAME]...", help="Workers; all that are installed if none.", autocompletion=_complete),
]


def load_named_or_all(names: Sequence[str] | None) -> tuple[list[Worker], list[str]]:
    """Return the workers, and why some were left out: a named one must load, of all installed ones those that can.

    Raises UsageError for a name that cannot be loaded, and where no worker is installed.
    """
    if names:
        return [load_worker(name) for name in dict.fromkeys(names)], []
    workers, left_out = [], []
    for name in worker_names():
        try:
            workers.append(load_worker(name))
        except UsageError as error:
            left_out.append(f"{error} (left out)")
    if not workers:
        raise UsageError(left_out[0] if left_out else "no worker is installed: pip install 'penstock[all]'")
    return workers, left_out
