"""The spill on the disk: records whose sink is down, in the journals of one folder, each held by one process.

A folder serves many workers and their replicas: `<worker>.<n>.sqlite`. A worker takes the first file that is free, one
with records before an empty one; what it cannot read of it is kept aside and told.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

import structlog

from penstock.errors import JournalDamaged, JournalError, JournalHeld, SettingsError
from penstock.journal import Journal
from penstock.journal_bounds import Bounds
from penstock.journal_damage import examine, move_aside
from penstock.journal_lease import Lease
from penstock.journal_thread import open_journal
from penstock.message import Message, from_payload, to_payload

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from penstock.clock import Clock
    from penstock.journal_bounds import Usage
    from penstock.journal_thread import JournalThread
    from penstock.settings import SpillSettings

log = structlog.get_logger(__name__)

#: What waits for the sink, and what cannot be read any more: the journal's two streams.
PENDING = "pending"
DAMAGED = "damaged"
_NAME = re.compile(r"(?P<worker>.+)\.(?P<number>[1-9]\d*)\.sqlite")


class Kept(NamedTuple):
    """A record's message in the spill."""

    position: int
    message: Message


@dataclass(frozen=True, slots=True)
class State:
    """What a file held after its last commit. `oldest` is when the first record came, in epoch seconds."""

    pending: Usage
    damaged: Usage
    oldest: float | None


class SpillFile(NamedTuple):
    """A file of a spill's folder, and whose it is."""

    path: Path
    worker: str
    number: int


class SpillStore:
    """One file, held by this process. Made by `open_store` and `open_left`."""

    def __init__(self, journal: JournalThread[State]) -> None:
        self.path = journal.path
        self._journal = journal
        #: Appends under way.
        self._arriving = 0

    @property
    def state(self) -> State:
        """What it held after its last commit."""
        return self._journal.state

    @property
    def empty(self) -> bool:
        """Whether no record waits, on the disk or on its way there."""
        return not self._arriving and not self.state.pending.records

    async def append(self, messages: Sequence[Message]) -> None:
        """Put messages behind all others: all of them or none. Returns once they are on the disk.

        Raises JournalFull where a bound does not allow it, JournalError where the disk fails.
        """
        payloads = [to_payload(message) for message in messages]

        def append(journal: Journal) -> None:
            positions: list[int] = []
            try:
                # Keeps those of before the one that does not fit.
                positions.extend(journal.append(PENDING, payload) for payload in payloads)
            except JournalError:
                for position in positions:
                    journal.remove(position)
                raise

        self._arriving += 1
        try:
            await self._journal.change(append)
        finally:
            self._arriving -= 1

    async def page(self, records: int, byte_size: int) -> list[Kept]:
        """The first records that wait, in order: at least one if there is any, and no more than that together.

        What turns out to be damaged is kept aside and told. Raises JournalDamaged where that cannot be done either.
        """

        def page(journal: Journal) -> list[Kept]:
            try:
                return _page(journal, records, byte_size)
            except JournalDamaged:
                if not _put_aside(journal):
                    raise
                return _page(journal, records, byte_size)

        return await self._journal.ask(page)

    async def remove(self, positions: Iterable[int]) -> None:
        """Remove records. Raises JournalError; then all are still there."""
        gone = list(positions)

        def remove(journal: Journal) -> None:
            for position in gone:
                journal.remove(position)

        await self._journal.change(remove)

    async def close(self) -> None:
        """Close the file and give its lease back; what it holds stays."""
        await self._journal.close()


def folder_of(settings: SpillSettings) -> Path:
    """The spill's folder. Raises SettingsError where it is not set, or not there."""
    if not settings.path:
        raise SettingsError("the spill is off: set spill.path (PENSTOCK_SPILL__PATH) to the folder it is to use")
    folder = Path(settings.path).expanduser()
    if not folder.is_dir():
        # Not made here: it may be a disk that is not mounted.
        raise SettingsError(f"spill.path (PENSTOCK_SPILL__PATH): {folder} is no folder: make it, or mount its disk")
    return folder


def files(folder: Path, worker: str | None = None) -> list[SpillFile]:
    """The files in a folder, of one worker or of all, by worker and number."""
    found = [
        SpillFile(path, unquote(name["worker"]), int(name["number"]))
        for path in folder.iterdir()
        if (name := _NAME.fullmatch(path.name))
    ]
    return sorted((one for one in found if worker in {None, one.worker}), key=lambda one: (one.worker, one.number))


async def open_store(settings: SpillSettings, worker: str, clock: Clock) -> SpillStore:
    """Take the first free file of a worker that holds records, else the first free one, else a new one.

    Raises SettingsError for the folder, JournalError where no file can be had.
    """
    folder = folder_of(settings)

    def make() -> Journal:
        journal, spare = _look_for(settings, folder, worker, clock)
        if journal is not None:
            if spare is not None:
                spare.close()
            return journal
        return spare or _new(settings, folder, worker, clock)

    return SpillStore(await open_journal("spill", make, _state))


async def open_left(settings: SpillSettings, worker: str, clock: Clock) -> SpillStore | None:
    """Take the first free file of a worker that holds records, if there is one. Raises as `open_store` does."""
    folder = folder_of(settings)

    def make() -> Journal:
        journal, spare = _look_for(settings, folder, worker, clock)
        if spare is not None:
            spare.close()
        if journal is None:
            raise _NothingLeft
        return journal

    try:
        return SpillStore(await open_journal("spill", make, _state))
    except _NothingLeft:
        return None


class _NothingLeft(Exception):
    """No file is free and holds records."""


def _look_for(
    settings: SpillSettings, folder: Path, worker: str, clock: Clock
) -> tuple[Journal | None, Journal | None]:
    """The first free file with records, and the first free one without; both are held from here on."""
    spare: Journal | None = None
    for file in files(folder, worker):
        with suppress(JournalHeld):
            journal = _open(settings, file.path, clock)
            if journal.usage(PENDING).records:
                return journal, spare
            if spare is None:
                spare = journal
            else:
                journal.close()
    return None, spare


def _new(settings: SpillSettings, folder: Path, worker: str, clock: Clock) -> Journal:
    for number in count(1):
        path = folder / f"{quote(worker, safe='')}.{number}.sqlite"
        # Another replica may just have made it.
        with suppress(JournalHeld):
            return _open(settings, path, clock)
    raise AssertionError("numbers do not end")


def _open(settings: SpillSettings, path: Path, clock: Clock) -> Journal:
    """Take a file and look through it; one that is damaged is kept aside, and an empty one taken in its place."""
    lease = Lease(path)
    try:
        journal = _sound(path, Bounds(settings.records, settings.byte_size, settings.age), clock, lease)
    except BaseException:
        lease.release()
        raise
    try:
        _put_aside(journal)
    except BaseException:
        journal.close()
        raise
    return journal


def _sound(path: Path, bounds: Bounds, clock: Clock, lease: Lease) -> Journal:
    try:
        if torn := examine(path, clock.now()):
            log.warning("spill_tail_torn", file=str(path), bytes=torn, kept_as=f"{path}.torn-*")
        return Journal(path, bounds, clock, lease)
    except JournalDamaged as damage:
        aside = move_aside(path, clock.now())
        text = f"{damage}; what can be read of {aside} is had by: sqlite3 {aside} .recover"
        log.error("spill_damaged", file=str(path), kept_as=str(aside), error=text)  # noqa: TRY400 it says all
    except OSError as error:
        text = f"what is damaged of {path} cannot be kept aside: {error.strerror}"
        raise JournalError(f"{text}: free some space on its disk, and see that this user can write there") from error
    return Journal(path, bounds, clock, lease)


def _put_aside(journal: Journal) -> int:
    damaged = journal.put_aside(DAMAGED, (PENDING, DAMAGED))
    if damaged:
        log.error("spill_damaged", file=str(journal.path), records=damaged, kept_as=f"stream {DAMAGED}")
    return damaged


def _state(journal: Journal) -> State:
    return State(journal.usage(PENDING), journal.usage(DAMAGED), journal.oldest(PENDING))


def _page(journal: Journal, records: int, byte_size: int) -> list[Kept]:
    found: list[Kept] = []
    size = 0
    for position, _, payload in journal.entries(PENDING):
        size += len(payload)
        if found and (len(found) == records or size > byte_size):
            break
        found.append(Kept(position, from_payload(payload)[0]))
    return found
