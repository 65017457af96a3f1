"""The journal: entries that survive a crash of the process or the machine, in one SQLite file held by one process.

Changes are collected in memory until `commit`, which writes them as one transaction: all of them or none. A
journal with bounds takes no more than they allow, and never drops anything to make room.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
import struct
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from penstock.clock import SystemClock
from penstock.errors import JournalDamaged, JournalError, JournalFull
from penstock.journal_bounds import Bounds, Usage, refusal
from penstock.journal_damage import as_journal_error
from penstock.journal_lease import Lease

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from penstock.clock import Clock

#: Says which layout a file has (SQLite keeps it as user_version); another one is refused, never guessed at.
LAYOUT = 2
#: Makes layout 2 of layout 1, which knew no times.
_FROM_1 = "ALTER TABLE entries ADD COLUMN appended_at INTEGER NOT NULL DEFAULT 0;"
#: The tables of that layout.
_SCHEMA = Path(__file__).with_name("journal.sql")
#: The bytes of a payload whatever type damage has given it.
_ENTRIES = "SELECT position, stream, CAST(payload AS BLOB), checksum FROM entries"
#: The journal's own fact: the last position that was given, which may be that of an entry long gone.
_LAST = "last position"
_POSITION = struct.Struct(">Q")


class Entry(NamedTuple):
    """One entry; positions grow with every append, and none that a commit may know of is ever given again."""

    position: int
    stream: str
    payload: bytes


class Journal:
    """Opens or makes the file at `path`; its lease, given or taken here, is held until it is closed.

    Every method raises JournalError when the file cannot be read or written, JournalDamaged where what is in it cannot.
    All are for the thread that made it. A lease that was given stays with its giver where this raises.
    """

    def __init__(
        self, path: Path, bounds: Bounds | None = None, clock: Clock | None = None, lease: Lease | None = None
    ) -> None:
        self.path = path
        self._bounds = bounds
        self._clock = clock or SystemClock()
        #: What was committed, by stream; kept where there are bounds only, because it costs reading.
        self._usage: dict[str, Usage] = {}
        #: What is appended and not committed.
        self._arriving = Usage()
        #: When the oldest entry of a stream was appended, in epoch seconds, as of the last commit.
        self._oldest: dict[str, float] = {}
        self._appended: dict[int, tuple[str, bytes]] = {}
        self._replaced: dict[int, tuple[str, bytes]] = {}
        self._removed: list[int] = []
        self._dropped: set[str] = set()
        self._facts: dict[str, bytes | None] = {}
        self._lease = lease or Lease(path)
        try:
            self._connection = self._open()
            try:
                last = self.get(_LAST)
                self._last_kept = _POSITION.unpack(last)[0] if last is not None else 0
                [[highest]] = self._ask("SELECT coalesce(max(position), 0) FROM entries")
                self._last: int = max(self._last_kept, highest)
                self._usage = self._measured("1") if bounds else {}
            except JournalError:
                self._connection.close()
                raise
        except JournalError:
            if lease is None:
                self._lease.release()
            raise

    def append(self, stream: str, payload: bytes) -> int:
        """Add an entry at the end; its position. Raises JournalFull where a bound does not allow it."""
        if self._bounds:
            self._refuse_too_much(self._bounds, stream, payload)
        self._last += 1
        self._appended[self._last] = (stream, payload)
        self._arriving = self._arriving.plus(Usage(1, len(payload)))
        return self._last

    def replace(self, position: int, stream: str, payload: bytes) -> None:
        """Give an entry another payload, and put it in `stream`; it keeps its position. No bound is in its way.

        Where that is another stream than before, neither is to be dropped in the same commit.
        """
        changes = self._appended if position in self._appended else self._replaced
        changes[position] = (stream, payload)

    def remove(self, position: int) -> None:
        """Remove an entry; one that is not there is removed already."""
        gone = self._appended.pop(position, None)
        if gone is None:
            self._replaced.pop(position, None)
            self._removed.append(position)
        else:
            self._arriving = self._arriving.minus(Usage(1, len(gone[1])))

    def drop(self, stream: str) -> None:
        """Remove all entries of a stream."""
        for changes in (self._appended, self._replaced):
            for position in [position for position, (name, _) in changes.items() if name == stream]:
                del changes[position]
        self._arriving = Usage(len(self._appended), sum(len(payload) for _, payload in self._appended.values()))
        self._dropped.add(stream)

    def put(self, key: str, value: bytes | None) -> None:
        """Keep a value under a key; None removes it. "last position" is the journal's own."""
        self._facts[key] = value

    def get(self, key: str) -> bytes | None:
        """The value under a key, uncommitted changes included; None where there is none."""
        if key in self._facts:
            return self._facts[key]
        for value, checksum in self._ask("SELECT value, checksum FROM facts WHERE key = ?", key):
            return self._checked(f"the value '{key}'", checksum, key, value)
        return None

    def entries(self, stream: str | None = None) -> Iterator[Entry]:
        """All entries as of the last commit, of one stream or of all, in the order of their positions."""
        statement = f"{_ENTRIES} WHERE coalesce(?, stream) = stream ORDER BY position"
        for position, name, payload, checksum in self._ask(statement, stream):
            yield Entry(position, name, self._checked(f"entry {position}", checksum, name, payload))

    def put_aside(self, stream: str, streams: Collection[str]) -> int:
        """Move what is damaged (its checksum does not fit) or in none of `streams` to `stream`; how many. Commits."""
        found = [
            (position, payload or b"")
            for position, name, payload, checksum in self._ask(_ENTRIES)
            if name not in streams or payload is None or checksum_of(name, payload) != checksum
        ]
        for position, payload in found:
            self.replace(position, stream, payload)
        self.commit()
        return len(found)

    def usage(self, stream: str) -> Usage:
        """What a stream held after the last commit; for a journal with bounds."""
        return self._usage.get(stream, Usage())

    def oldest(self, stream: str) -> float | None:
        """When the first entry of a stream was appended, in epoch seconds, as of the last commit; None: it is empty."""
        if not self.usage(stream).records:
            return None
        if stream not in self._oldest:
            statement = "SELECT appended_at FROM entries WHERE stream = ? ORDER BY position LIMIT 1"
            [[milliseconds]] = self._ask(statement, stream)
            self._oldest[stream] = milliseconds / 1000
        return self._oldest[stream]

    @property
    def changed(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._appended or self._removed or self._replaced or self._dropped or self._facts)

    def commit(self) -> None:
        """Write all changes; when it returns they are on the disk. After an error it may be tried again."""
        if not self.changed:
            return
        with self._explained():
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                usage = self._write_and_measure()
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        if self._last_leaves():
            self._last_kept = self._last
        self._usage = usage
        self._oldest = {}
        self.forget()

    def forget(self) -> None:
        """Forget all changes since the last commit."""
        self._arriving = Usage()
        for changes in (self._appended, self._replaced, self._removed, self._dropped, self._facts):
            changes.clear()

    def close(self) -> None:
        """Close the file and give the lease back; what was not committed is gone."""
        self._connection.close()
        self._lease.release()

    def _refuse_too_much(self, bounds: Bounds, stream: str, payload: bytes) -> None:
        held = self._arriving
        for usage in self._usage.values():
            held = held.plus(usage)
        oldest = self.oldest(stream)
        waiting = self._clock.now() - oldest if oldest is not None else 0
        if reason := refusal(bounds, held, Usage(1, len(payload)), waiting):
            raise JournalFull(
                f"the journal {self.path} is full: {reason}; nothing was dropped, it takes more once drained"
            )

    def _measured(self, condition: str, *values: str) -> dict[str, Usage]:
        statement = f"SELECT stream, count(*), sum(length(payload)) FROM entries WHERE {condition} GROUP BY stream"  # noqa: S608 the conditions are this file's
        return {stream: Usage(records, size) for stream, records, size in self._ask(statement, *values)}

    def _write_and_measure(self) -> dict[str, Usage]:
        """Write, and reckon what is held then from the entries that change, however many there are beside."""
        if not self._bounds:
            self._write()
            return {}
        at, none = "position IN (SELECT value FROM json_each(?))", Usage()
        before = self._measured(at, json.dumps([*self._removed, *self._replaced]))
        self._write()
        after = self._measured(at, json.dumps([*self._appended, *self._replaced]))
        left = {
            name: usage.minus(before.get(name, none))
            for name, usage in self._usage.items()
            if name not in self._dropped
        }
        return {name: left.get(name, none).plus(after.get(name, none)) for name in left.keys() | after.keys()}

    def _write(self) -> None:
        run = self._connection.executemany
        now = int(self._clock.now() * 1000)
        # Drops come first: what was appended to a stream after its drop is to stay.
        run("DELETE FROM entries WHERE stream = ?", [(stream,) for stream in self._dropped])
        run("DELETE FROM entries WHERE position = ?", [(position,) for position in self._removed])
        run(
            "INSERT INTO entries (position, stream, payload, checksum, appended_at) VALUES (?, ?, ?, ?, ?)",
            [(at, stream, data, checksum_of(stream, data), now) for at, (stream, data) in self._appended.items()],
        )
        run(
            "UPDATE entries SET stream = ?, payload = ?, checksum = ? WHERE position = ?",
            [(stream, data, checksum_of(stream, data), at) for at, (stream, data) in self._replaced.items()],
        )
        facts = dict(self._facts)
        if self._last_leaves():
            facts[_LAST] = _POSITION.pack(self._last)
        run("DELETE FROM facts WHERE key = ?", [(key,) for key, value in facts.items() if value is None])
        run(
            "INSERT OR REPLACE INTO facts (key, value, checksum) VALUES (?, ?, ?)",
            [(key, value, checksum_of(key, value)) for key, value in facts.items() if value is not None],
        )

    def _last_leaves(self) -> bool:
        """Whether the entries may no longer tell the last position after this commit; as long as they do, they do."""
        stays = self._last in self._appended and not self._removed and not self._dropped
        return self._last > self._last_kept and not stays

    def _open(self) -> sqlite3.Connection:
        with self._explained():
            connection = sqlite3.connect(self.path, isolation_level=None)
            # A damaged name is no reason to stop reading: it is none of those that anybody asks for.
            connection.text_factory = _text
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                # On macOS an ordinary fsync leaves the data in the disk's own cache.
                connection.execute("PRAGMA fullfsync = ON")
                [[layout]] = connection.execute("PRAGMA user_version")
                if layout in {0, 1}:
                    change = _FROM_1 if layout else _SCHEMA.read_text()
                    connection.executescript(f"BEGIN;{change}PRAGMA user_version = {LAYOUT};COMMIT;")
            except sqlite3.Error:
                connection.close()
                raise
        if layout not in {0, 1, LAYOUT}:
            connection.close()
            raise JournalError(
                f"the journal {self.path} has layout {layout}, this Penstock knows {LAYOUT}: "
                "use the Penstock that made it, or move the file away (what is in it stays there)"
            )
        return connection

    def _ask(self, statement: str, *values: str | None) -> Iterator[Any]:
        with self._explained():
            yield from self._connection.execute(statement, values)

    def _checked(self, what: str, checksum: int, name: str, payload: bytes | None) -> bytes:
        if payload is None or checksum_of(name, payload) != checksum:
            raise JournalDamaged(
                f"{what} of the journal {self.path} is damaged (its checksum does not fit): "
                "restore the file from a copy, or move it away and do without what is in it"
            )
        return payload

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise as_journal_error(self.path, error) from error


def _text(name: bytes) -> str:
    return name.decode(errors="replace")


def checksum_of(name: str, payload: bytes) -> int:
    """What stands beside an entry of a stream, or beside a value under a key."""
    return zlib.crc32(payload, zlib.crc32(name.encode()))
