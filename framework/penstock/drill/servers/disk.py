"""A small disk in memory, to be filled up. It takes root, and a machine that lets root mount."""

from __future__ import annotations

import errno
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.drill.servers.server import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from io import FileIO

#: How much is written at once while filling up, in bytes.
PIECE = 1024 * 1024


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[Path]:
    """A folder, made and removed, whose files have room for so many bytes. Raises Unavailable."""
    place.mkdir()
    try:
        _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", str(place))
        try:
            yield place
        finally:
            _run("umount", "--lazy", str(place))
    finally:
        place.rmdir()


@contextmanager
def fill(disk: Path) -> Iterator[None]:
    """Leave no room on a small disk, for the time of the block."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            _write_until_full(file)
        yield
    finally:
        ballast.unlink()


def unmount_below(folder: Path) -> None:
    """Unmount the small disks that a run which was killed has left below a folder."""
    for line in Path("/proc/mounts").read_text().splitlines():
        place = line.split()[1]
        if Path(place).is_relative_to(folder):
            _run("umount", "--lazy", place)


def _write_until_full(file: FileIO) -> None:
    piece = bytes(PIECE)
    while True:
        try:
            file.write(piece)
        except OSError as error:
            if error.errno == errno.ENOSPC:
                return
            raise


def _run(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        raise Unavailable(f"{command[0]} is not permitted here, which a full disk takes: {done.stderr.strip()}")
