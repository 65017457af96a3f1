"""A folder that one process at a time works on."""

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
def held(folder: Path, *, mend: str, busy: str) -> Iterator[None]:
    """Hold `folder`, made where it is missing, until the block ends.

    The lock is on the folder itself, so that it leaves no file behind, and ends with the process, however that ends.
    Raises StackError saying `busy` where another process holds it, and UsageError, with how to `mend` it, where it
    cannot be had.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise UsageError(f"{folder} cannot be used ({error.strerror}): {mend}") from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StackError(busy) from None
        yield
    finally:
        os.close(descriptor)
