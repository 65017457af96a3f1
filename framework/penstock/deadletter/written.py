"""Whether a letter's row was written after it failed: then a replay could undo what is newer."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Self

from penstock.codec import Codec
from penstock.deadletter.filter import delivery_of_letter
from penstock.endpoints import endpoints_of
from penstock.errors import BatchError, SinkUnavailable
from penstock.failover import together
from penstock.record import Record
from penstock.sink import LastWritten
from penstock.target import outages_only

if TYPE_CHECKING:
    from collections.abc import Hashable
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

    async def written_since(self, letter: Letter) -> bool:
        """Whether the row was written after the letter failed, and not by a letter before it. Raises SinkUnavailable.

        Not so for a letter that is no record, or whose time nobody knows.
        """
        record = self._codec.decode(delivery_of_letter(letter))
        if letter.failed_at is None or not isinstance(record, Record) or record.natural_key in self._passed:
            return False
        written = await self._last_written(record)
        if written is not None and written > letter.failed_at:
            return True
        self._passed.add(record.natural_key)
        return False

    async def _last_written(self, record: Record) -> datetime | None:
        """The latest that any endpoint knows of. Raises SinkUnavailable where the one that may know does not answer."""
        if self._open is None:
            self._open = await self._opened()
        times = []
        for name, rows in self._open:
            try:
                async with outages_only(name, self._settings.retry.write_timeout, BatchError):
                    times.append(await rows.last_written(record))
            except BatchError:
                # What it refuses it does not hold.
                continue
        return max((time for time in times if time is not None), default=None)

    async def _opened(self) -> list[tuple[str, LastWritten]]:
        found: list[tuple[str, LastWritten]] = []
        failures: list[SinkUnavailable] = []
        for endpoint in endpoints_of(self._worker, self._settings):
            sink = self._worker.sink(self._worker, self._settings)
            if not isinstance(sink, LastWritten):
                return []
            self._stack.push_async_callback(sink.close)
            try:
                async with outages_only(endpoint.name, self._settings.retry.write_timeout):
                    await sink.open(endpoint)
                    await sink.ping()
            except SinkUnavailable as error:
                failures.append(error)
            else:
                found.append((endpoint.name, sink))
        # Two databases of their own may each have written the row; of a replicated one each server knows.
        if failures and (not found or self._settings.failover.mode == "independent"):
            raise together(failures)
        return found
