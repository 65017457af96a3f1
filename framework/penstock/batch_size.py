"""When the next batch is full: as the settings say, sooner where the sink takes long for many or little for few."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.batch import Full

if TYPE_CHECKING:
    from penstock.settings import BatchSettings

#: A batch is never made smaller than this part of batch.count.
SMALLEST_PART = 16
#: A half that takes more than this part of what the whole took is no remedy: the time is not the records'.
NO_REMEDY = 0.75
#: Where batch.period is not set, a batch that is not full waits for more records this part of the time that the last
#: write took, and so many seconds at most.
WAITING_PART = 0.1
LONGEST_WAIT = 0.1
#: Full batches after which halving is tried again where it was no remedy.
PATIENCE = 100


class BatchSize:
    """Halved while full batches take longer than batch.write_seconds, doubled while they take half of it at most.

    Where fewer records are no faster (a slow line, say), it goes back to all of them.
    What comes during a write is a batch by itself: where writes are quick, waiting for more spares the sink little and
    delays the record. So nothing waits longer than a part of what the last write took, unless batch.period says so.
    """

    def __init__(self, settings: BatchSettings) -> None:
        self.reload(settings)

    def reload(self, settings: BatchSettings) -> None:
        """Take new settings, and start anew."""
        self._settings = settings
        #: When the next batch is full.
        self.full = self._full(settings.count, LONGEST_WAIT)
        #: What the last batch took, in seconds, that was too slow and was answered by halving.
        self._slow: float | None = None
        self._patience = 0

    def written(self, records: int, seconds: float) -> None:
        """Take note of a batch that the sink has taken."""
        count = self._next_count(seconds) if records >= self.full.count else self.full.count
        self.full = self._full(count, min(WAITING_PART * seconds, LONGEST_WAIT))

    def _full(self, count: int, wait: float) -> Full:
        """Of so many records; where the settings do not say how long it waits for them, that is for us to say."""
        period = self._settings.period
        return Full(count, self._settings.byte_size, wait if period is None else period)

    def _next_count(self, seconds: float) -> int:
        """How many records the next batch may have, after a full one that took so long."""
        aim, count, most = self._settings.write_seconds, self.full.count, self._settings.count
        smallest = max(1, most // SMALLEST_PART)
        if seconds <= aim:
            self._slow = None
            return min(2 * count, most) if seconds <= aim / 2 else count
        if self._patience:
            self._patience -= 1
            return count
        if self._slow is not None and seconds > NO_REMEDY * self._slow:
            self._slow, self._patience = None, PATIENCE
            return most
        if count > smallest:
            self._slow = seconds
            return max(smallest, count // 2)
        self._slow = None
        return count
