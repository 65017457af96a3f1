"""The demo's own folder, for one demo at a time."""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.errors import StackError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Hold `folder`, made where it is missing, until the block ends. Raises StackError where another demo holds it.

    The lock is on the folder itself, so that it leaves no file behind, and ends with the process, however that ends.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        text = f"{folder} cannot be used ({error.strerror}): name a folder for the user's data in XDG_DATA_HOME"
        raise UsageError(text) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(f"another demo is running, in {folder}: wait for its end, or end it by Ctrl-C") from None
        yield
    finally:
        os.close(descriptor)
