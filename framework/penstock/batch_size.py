"""How many records the next batch may have: as many as the settings say, fewer while they take the sink too long."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.settings import BatchSettings

#: A batch is never made smaller than this part of batch.count.
SMALLEST_PART = 16
#: A half that takes more than this part of what the whole took is no remedy: the time is not the records'.
NO_REMEDY = 0.75
#: Full batches after which halving is tried again where it was no remedy.
PATIENCE = 100


class BatchSize:
    """Halved while full batches take longer than batch.write_seconds, doubled while they take half of it at most.

    Where fewer records are no faster (a slow line, say), it goes back to all of them.
    """

    def __init__(self, settings: BatchSettings) -> None:
        #: When the next batch is full: as the settings say, perhaps with fewer records.
        self.full = settings
        self._settings = settings
        #: What the last batch took, in seconds, that was too slow and was answered by halving.
        self._slow: float | None = None
        self._patience = 0

    def reload(self, settings: BatchSettings) -> None:
        """Take new settings, and start anew."""
        self._settings = self.full = settings
        self._slow, self._patience = None, 0

    def written(self, records: int, seconds: float) -> None:
        """Take note of a batch that the sink has taken. One that was not full says nothing."""
        aim, count = self._settings.write_seconds, self.full.count
        smallest = max(1, self._settings.count // SMALLEST_PART)
        if records < count:
            return
        if seconds <= aim:
            self._slow = None
            if seconds <= aim / 2:
                self._become(2 * count)
        elif self._patience:
            self._patience -= 1
        elif self._slow is not None and seconds > NO_REMEDY * self._slow:
            self._slow, self._patience = None, PATIENCE
            self._become(self._settings.count)
        elif count > smallest:
            self._slow = seconds
            self._become(max(smallest, count // 2))
        else:
            self._slow = None

    def _become(self, count: int) -> None:
        if count != self.full.count:
            self.full = self._settings.model_copy(update={"count": min(count, self._settings.count)})
