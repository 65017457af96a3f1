"""A look at the spill's files from outside: it takes no lease, changes nothing, and the worker goes on meanwhile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from penstock.errors import JournalError
from penstock.idempotency import header_key
from penstock.journal_damage import put_aside
from penstock.journal_lease import holder
from penstock.journal_look import StreamLook, look_at_entries, look_at_streams
from penstock.message import from_payload
from penstock.spill_store import DAMAGED, PENDING, files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from penstock.journal_bounds import Usage
    from penstock.spill_store import SpillFile


@dataclass(frozen=True, slots=True)
class FileLook:
    """What a file holds. `oldest` is when its first record came, in epoch seconds.

    `holder` is the process id of its worker, None where it is free. `aside` are damaged files and torn tails kept
    beside it. `trouble` says why nothing could be read of it, and is empty where it could.
    """

    file: SpillFile
    holder: str | None
    pending: Usage
    damaged: Usage
    oldest: float | None
    aside: tuple[Path, ...]
    trouble: str


class EntryLook(NamedTuple):
    """A record in the spill, without its payload. `size` in bytes, `came` in epoch seconds."""

    position: int
    key: str
    routing_key: str
    size: int
    came: float


def look(folder: Path, worker: str | None = None) -> list[FileLook]:
    """What the files in a folder hold, of one worker or of all."""
    return [_look_at(file) for file in files(folder, worker)]


def entries(path: Path, limit: int) -> Iterator[EntryLook]:
    """The first records of a file, in order; one that is damaged has the key "damaged".

    Raises JournalError where the file cannot be read.
    """
    for seen in look_at_entries(path, PENDING, limit):
        if seen.payload is None:
            yield EntryLook(seen.position, DAMAGED, "", seen.size, seen.came)
            continue
        message, _ = from_payload(seen.payload)
        key = header_key(message.decoded().headers or {}) or ""
        yield EntryLook(seen.position, key, message.routing_key, seen.size, seen.came)


def _look_at(file: SpillFile) -> FileLook:
    trouble = ""
    found: Mapping[str, StreamLook] = {}
    try:
        found = look_at_streams(file.path)
    except JournalError as error:
        trouble = str(error)
    pending, oldest = found.get(PENDING, StreamLook())
    damaged, _ = found.get(DAMAGED, StreamLook())
    return FileLook(file, holder(file.path), pending, damaged, oldest, tuple(put_aside(file.path)), trouble)
