"""The fuse: when too many of the last records are refused, the schema is wrong and not the records."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from penstock.errors import FuseBlown

if TYPE_CHECKING:
    from penstock.outcome import Refusal
    from penstock.settings import FuseSettings


class Fuse:
    """Remembers how many of the last `window` settled records were refused, batch by batch.

    A batch that would take the refused ones over `percent` of the window blows the fuse *before*
    anything of it is settled; so at most that many letters are ever in the DLQ for one cause.
    """

    def __init__(self, settings: FuseSettings) -> None:
        self.settings = settings
        self._batches: deque[tuple[int, int]] = deque()
        self._refused = 0
        self._total = 0

    def limit(self, batch: int = 0) -> float:
        """How many records may be refused: of the last `window`, or of a batch that is larger."""
        return max(self.settings.window, batch) * self.settings.percent / 100

    def check(self, refused: int, batch: int, latest: Refusal) -> None:
        """Raise FuseBlown if `refused` of a batch of so many records would be too many; `latest` is the newest reason.

        The error's text holds reason and class only: logs and /health take no payload, which a message may quote.
        """
        if self.settings.percent < 100 and self._refused + refused > self.limit(batch):  # noqa: PLR2004 per cent
            text = (
                f"more than {self.settings.percent:g} % of the last {max(self.settings.window, batch)} records were "
                f"refused, the latest for {latest.reason} ({latest.error_class}); this batch is held and nothing of it "
                "settled. Mend the sink, the model or the mapping; or, if the records really are bad, set fuse.percent "
                "to 100 (in the settings file and SIGHUP, or PENSTOCK_FUSE__PERCENT and a restart)"
            )
            raise FuseBlown(text)

    def record(self, refused: int, total: int) -> None:
        """Remember a batch that is about to be settled."""
        self._batches.append((refused, total))
        self._refused += refused
        self._total += total
        while self._batches and self._total - self._batches[0][1] >= self.settings.window:
            old_refused, old_total = self._batches.popleft()
            self._refused -= old_refused
            self._total -= old_total
