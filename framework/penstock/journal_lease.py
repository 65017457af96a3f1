"""The lease of a journal: one process holds a file at a time, until it gives it back or ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from typing import TYPE_CHECKING, Self

from penstock.errors import JournalError, JournalHeld

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

#: Only the user may read what is journaled.
_MODE = 0o600
#: Characters of a process id, and more.
_PID = 20


class Lease:
    """Taken for the journal at `path`, by way of `<path>.lock`, as the object is made.

    Raises JournalHeld where another process has it, JournalError where the lock file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = _take(path)

    def release(self) -> None:
        """Give it back."""
        os.close(self._file)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.release()


def holder(path: Path) -> str | None:
    """The process id that holds the journal at `path`, "another process" where it did not say, None where nobody does.

    Asked without taking the lease: but for an instant in which a process that starts would find it taken.
    """
    try:
        lock = os.open(_lock(path), os.O_RDONLY)
    except OSError:  # never held, or not for this user to see
        return None
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return _said(lock)
    finally:
        os.close(lock)
    return None


def make_file(path: Path) -> None:
    """Make the journal's file where it is missing, for this user alone. Raises JournalError."""
    os.close(_opened(path, path))


def _lock(path: Path) -> Path:
    return path.with_name(f"{path.name}.lock")


def _said(lock: int) -> str:
    return os.read(lock, _PID).decode() or "another process"


def _opened(file: Path, journal: Path) -> int:
    try:
        return os.open(file, os.O_RDWR | os.O_CREAT, _MODE)
    except OSError as error:
        raise JournalError(
            f"the journal {journal} cannot be made: {error.strerror}: check its folder and the space on its disk"
        ) from error


def _take(path: Path) -> int:
    make_file(path)
    lock = _lock(path)
    lease = _opened(lock, path)
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(lease, 0)
        os.write(lease, str(os.getpid()).encode())
    except BlockingIOError as error:
        found = _said(lease)
        os.close(lease)
        raise JournalHeld(f"the journal {path} is held by process {found} ({lock}): stop that one first") from error
    except OSError as error:
        os.close(lease)
        raise JournalError(
            f"the lease {lock} cannot be taken: {error.strerror}: free some space on its disk"
        ) from error
    return lease
