"""Data folders of native servers: removed at the end, or by the next run where this one was killed."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
import tempfile
from pathlib import Path

from penstock.drill.servers.disk import unmount_below

PREFIX = "penstock-test-"
LOCK = ".lock"


class Folder:
    """A data folder, locked as long as this process lives."""

    def __init__(self, name: str) -> None:
        sweep()
        self.name = name
        making = Path(tempfile.mkdtemp(prefix=f"making-{PREFIX}{name}-"))
        # The server may run as another user, who has to get to its own folders below.
        making.chmod(0o755)
        self._lock = (making / LOCK).open("w")
        fcntl.flock(self._lock, fcntl.LOCK_EX)
        # Only now: a sweep elsewhere would take an unlocked one for abandoned.
        self.path = making.rename(making.with_name(making.name.removeprefix("making-")))

    def remove(self) -> None:
        """Remove it with all that is in it."""
        unmount_below(self.path)
        shutil.rmtree(self.path, ignore_errors=True)
        self._lock.close()


def sweep() -> None:
    """Remove the folders of runs that were killed: those whose lock is free."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        # Another user's folder, one that is just being made or removed: not ours to sweep.
        with contextlib.suppress(OSError), (path / LOCK).open("r+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            unmount_below(path)
            shutil.rmtree(path, ignore_errors=True)
