"""A look at a journal's file from outside: it takes no lease, changes nothing, and whoever holds the file goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from penstock.journal import checksum_of
from penstock.journal_bounds import Usage
from penstock.journal_damage import as_journal_error

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


class StreamLook(NamedTuple):
    """What a stream holds; `oldest` is when its first entry came, in epoch seconds, None where it is empty."""

    usage: Usage = Usage()
    oldest: float | None = None


class EntrySeen(NamedTuple):
    """An entry; `payload` is None where it is damaged. `size` in bytes, `came` in epoch seconds."""

    position: int
    payload: bytes | None
    size: int
    came: float


def look_at_streams(path: Path) -> Mapping[str, StreamLook]:
    """What each stream of a journal holds; one that is empty is not there. Raises JournalError."""
    statement = "SELECT stream, count(*), coalesce(sum(length(payload)), 0), min(appended_at) FROM entries GROUP BY 1"
    try:
        with closing(_opened(path)) as connection:
            return {
                stream: StreamLook(Usage(records, size), milliseconds / 1000)
                for stream, records, size, milliseconds in connection.execute(statement)
            }
    except sqlite3.Error as error:
        raise as_journal_error(path, error) from error


def look_at_entries(path: Path, stream: str, limit: int) -> Iterator[EntrySeen]:
    """The first entries of a stream, in order. Raises JournalError where the file cannot be read."""
    columns = "position, CAST(payload AS BLOB), checksum, appended_at"
    statement = f"SELECT {columns} FROM entries WHERE stream = ? ORDER BY position LIMIT ?"  # noqa: S608 no value in it
    try:
        with closing(_opened(path)) as connection:
            for position, payload, checksum, milliseconds in connection.execute(statement, (stream, limit)):
                whole = payload is not None and checksum_of(stream, payload) == checksum
                size = len(payload or b"")
                yield EntrySeen(position, payload if whole else None, size, milliseconds / 1000)
    except sqlite3.Error as error:
        raise as_journal_error(path, error) from error


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
