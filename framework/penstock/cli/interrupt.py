"""Ctrl-C and SIGTERM while files are published."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType


class Interrupt:
    """The signal that came, if one did, and whether it may wait.

    Where messages are on their way (`sending`) the first signal only leaves its `number` here, so that their
    confirms are waited for. A second one, one that finds nothing on its way, and one that finds a reader at
    work (`reading`: it may wait for a pipe for ever) raise KeyboardInterrupt.
    """

    def __init__(self) -> None:
        self.number = 0
        self.reading = False
        self.sending = False

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Watch for both signals; as before at the end."""
        # Not the event loop's handlers: while a reader waits for a pipe, the loop does not turn.
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        at_once = self.number or self.reading or not self.sending
        self.number = number
        if at_once:
            raise KeyboardInterrupt
