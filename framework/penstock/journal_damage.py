"""Damage to a journal's files: found when the file is opened, kept aside, never thrown away."""

from __future__ import annotations

import sqlite3
import struct
from contextlib import closing
from datetime import UTC, datetime
from itertools import count
from typing import TYPE_CHECKING

from penstock.errors import JournalDamaged, JournalError
from penstock.journal_lease import make_file

if TYPE_CHECKING:
    from pathlib import Path

#: SQLite's log of changes beside a file, and the index of that log, which is worth nothing by itself.
LOG = "-wal"
LOG_INDEX = "-shm"
#: Sizes of the log's header and of a frame's, in bytes; where the page size and the salts stand in them.
_HEADER = 32
_FRAME_HEADER = 24
_PAGE_SIZE = slice(8, 12)
_SALTS = slice(16, 24)
_FRAME_SALTS = slice(8, 16)
#: What a log begins with where its checksum is reckoned in little-endian words; one more, and they are big-endian.
_MAGIC = 0x377F0682


def examine(path: Path, now: float) -> int:
    """Look through a file whose lease is held, before anything is written to it; `now` in epoch seconds.

    Returns the bytes of a torn tail, 0 where there is none: what stands in the log behind the last commit, kept aside
    in `<file>.torn-<time>`. A crash within a commit leaves one, and so does damage. Raises JournalDamaged for a file
    that is no database, or a corrupt one.
    """
    log = _beside(path, LOG)
    before = log.read_bytes() if log.exists() else b""
    if before and path.stat().st_size == 0:
        # SQLite would take it for a new one and delete the log, which holds all there is.
        raise JournalDamaged(f"the journal {path} is empty, and its log is not")
    try:
        frames = _committed_frames(path)
    except JournalDamaged:
        # SQLite has perhaps put it into the damaged file, and removed it.
        if before:
            _beside(path, LOG).write_bytes(before)
        raise
    tail = _tail(before, frames) if before else b""
    if tail:
        _aside(path, "torn", now).write_bytes(tail)
    return len(tail)


def _committed_frames(path: Path) -> int:
    """How many frames of the log are committed."""
    try:
        with closing(sqlite3.connect(path, isolation_level=None)) as connection:
            for (problem,) in connection.execute("PRAGMA quick_check(1)"):
                if problem != "ok":
                    raise JournalDamaged(f"the journal {path} is corrupt: {problem}")
            [[_, frames, _]] = connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
            committed: int = max(0, frames)  # -1 where there is no log
            return committed
    except sqlite3.DatabaseError as error:
        raise as_journal_error(path, error) from error


def move_aside(path: Path, now: float) -> Path:
    """Rename a damaged file whose lease is held to `<file>.damaged-<time>`, its log with it, and make an empty one.

    Returns its new name. `sqlite3 NEW_NAME .recover` may read what is left in it.
    """
    aside = _aside(path, "damaged", now)
    for suffix in (LOG, LOG_INDEX, ""):
        file = _beside(path, suffix)
        if file.exists():
            file.rename(_beside(aside, suffix))
    make_file(path)
    return aside


def put_aside(path: Path) -> list[Path]:
    """What was kept aside of a journal so far: damaged files and torn tails."""
    return sorted(
        found
        for kind in ("damaged", "torn")
        for found in path.parent.glob(f"{path.name}.{kind}-*")
        if not found.name.endswith((LOG, LOG_INDEX))
    )


def as_journal_error(path: Path, error: sqlite3.Error) -> JournalError:
    """What SQLite raised, as a journal's error, with what mends it."""
    kind = JournalError
    # The lower byte is the kind of error, the others its details: https://www.sqlite.org/rescode.html
    match getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF:
        case sqlite3.SQLITE_FULL | sqlite3.SQLITE_IOERR:
            mend = "free some space on its disk (or mend the disk), then start again; all that was committed is kept"
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            kind = JournalDamaged
            mend = "restore the file from a copy, or move it away and do without what is in it"
        case _:
            mend = "see that its folder and file can be written by this user"
    return kind(f"the journal {path} cannot be used: {error}: {mend}")


def _tail(log: bytes, frames: int) -> bytes:
    """What a log holds behind so many frames, unless that is left from before its last turn."""
    if not _is_sound(log[:_HEADER]):
        return log
    page = int.from_bytes(log[_PAGE_SIZE])
    tail = log[_HEADER + frames * (_FRAME_HEADER + page) :]
    whole = len(tail) >= _FRAME_HEADER + page
    return b"" if whole and tail[_FRAME_SALTS] != log[_SALTS] else tail


def _is_sound(header: bytes) -> bool:
    """Whether the checksum of a log's header fits: https://www.sqlite.org/fileformat2.html#walformat ."""
    if len(header) < _HEADER:
        return False
    words = struct.unpack(">8I" if int.from_bytes(header[:4]) == _MAGIC + 1 else "<8I", header)
    first = second = 0
    for one, other in zip(words[0:6:2], words[1:6:2], strict=True):
        first = (first + one + second) % 2**32
        second = (second + other + first) % 2**32
    return struct.pack(">2I", first, second) == header[24:]


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _aside(path: Path, kind: str, now: float) -> Path:
    """A name that is free."""
    time = datetime.fromtimestamp(now, UTC).strftime("%Y%m%dT%H%M%SZ")
    names = (f"{path.name}.{kind}-{time}{f'.{number}' if number else ''}" for number in count())
    return next(file for name in names if not (file := path.with_name(name)).exists())
