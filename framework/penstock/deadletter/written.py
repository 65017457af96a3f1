"""Whether a replay could undo what is newer, or write an event twice: rows written since, keys forgotten since."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC
from typing import TYPE_CHECKING, Self

from penstock.codec import Codec
from penstock.deadletter.filter import delivery_of_letter
from penstock.endpoints import open_each
from penstock.errors import BatchError
from penstock.failover import together
from penstock.record import Record
from penstock.sink import LastWritten
from penstock.target import outages_only

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence
    from datetime import datetime
    from types import TracebackType

    from penstock.deadletter.view import Letter
    from penstock.settings import Settings
    from penstock.worker import Worker


class Rows:
    """The rows of a worker's letters, asked of its sink; it is opened when the first is asked for.

    A sink that is not LastWritten does not know: then no row was written since, as far as anybody can tell.
    """

    def __init__(self, worker: Worker, settings: Settings) -> None:
        self._worker = worker
        self._settings = settings
        self._codec = Codec(worker, settings.limits)
        #: What is open: endpoints by their name.
        self._open: list[tuple[str, LastWritten]] | None = None
        self._stack = AsyncExitStack()
        #: Natural keys of letters that were let through: what is written of them from now on may be those letters.
        self._passed: set[Hashable] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    async def written_since(self, letters: Sequence[Letter]) -> set[Letter]:
        """Those whose row was written after they failed, and not by a letter before them. Raises SinkUnavailable.

        Not a letter that is no record, or whose time nobody knows. The sink is asked once for all of them.
        """
        asked: list[tuple[Letter, datetime, Record]] = []
        for letter in letters:
            record = self._codec.decode(delivery_of_letter(letter))
            if letter.failed_at is not None and isinstance(record, Record) and record.natural_key not in self._passed:
                asked.append((letter, letter.failed_at, record))
        times = await self._last_written([record for _, _, record in asked]) if asked else ()
        since: set[Letter] = set()
        for (letter, failed_at, record), written in zip(asked, times, strict=True):
            if record.natural_key in self._passed or written is None or written <= failed_at:
                self._passed.add(record.natural_key)
            else:
                since.add(letter)
        return since

    async def _last_written(self, records: Sequence[Record]) -> list[datetime | None]:
        """The latest that any endpoint knows of. Raises SinkUnavailable where the one that may know does not answer."""
        if self._open is None:
            self._open = await self._opened()
        latest: list[datetime | None] = [None] * len(records)
        for name, rows in self._open:
            times = await self._asked(name, rows, records)
            latest = [max(filter(None, pair), default=None) for pair in zip(latest, times, strict=True)]
        return latest

    async def _asked(self, name: str, rows: LastWritten, records: Sequence[Record]) -> Sequence[datetime | None]:
        try:
            async with outages_only(name, self._settings.retry.write_timeout, BatchError):
                return await rows.last_written(records)
        except BatchError:
            # What it refuses it does not hold.
            if len(records) == 1:
                return [None]
        return [time for record in records for time in await self._asked(name, rows, [record])]

    async def _opened(self) -> list[tuple[str, LastWritten]]:
        if not isinstance(self._worker.sink(self._worker, self._settings), LastWritten):
            return []
        found, failures = await open_each(self._worker, self._settings, self._stack)
        # Two databases of their own may each have written the row; of a replicated one each server knows.
        if failures and (not found or self._settings.failover.mode == "independent"):
            raise together(failures)
        return [(endpoint.name, sink) for endpoint, sink in found if isinstance(sink, LastWritten)]


def key_is_forgotten(worker: Worker, settings: Settings, letter: Letter, now: float) -> bool:
    """Whether the key of a letter's event may be out of the ledger: another copy, written long ago, would not count.

    That copy was written after the message was first published, and its key is kept for ledger.age seconds from then;
    so of the times known, the earliest counts. `now` in epoch seconds. Not so for a letter whose time nobody knows.
    """
    times = (letter.failed_at, letter.properties.timestamp, *(death.time for death in letter.deaths))
    first = min((_epoch(time) for time in times if time is not None), default=now)
    return worker.mode == "append" and now - first > settings.ledger.age


def _epoch(time: datetime) -> float:
    """In epoch seconds; AMQP's own times come without a zone, and are UTC."""
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
