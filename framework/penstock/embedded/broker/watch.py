"""The time of a connection: how long a client may take, and whether it is still there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Heartbeats a client may miss.
MISSED_HEARTBEATS = 2


class Watch:
    """One timer: a time limit, or after the handshake the heartbeat. All times are in seconds."""

    def __init__(self) -> None:
        self._heard_at = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def heard(self) -> None:
        """The client has sent something."""
        self._heard_at = asyncio.get_running_loop().time()

    def limit(self, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` after so long, unless it is stopped or set otherwise by then."""
        self.stop()
        self._timer = asyncio.get_running_loop().call_later(seconds, late)

    def beat(self, interval: float, beat: Callable[[], None], silent: Callable[[], None]) -> None:
        """Call `beat` twice in an interval, and `silent` once nothing was heard for too many of them; 0 for never."""
        self.stop()
        if interval:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(interval / 2, self._beat, interval, beat, silent)

    def stop(self) -> None:
        """Call nothing any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self, interval: float, beat: Callable[[], None], silent: Callable[[], None]) -> None:
        if asyncio.get_running_loop().time() - self._heard_at > MISSED_HEARTBEATS * interval:
            silent()
        else:
            beat()
            self.beat(interval, beat, silent)
