"""What the ends of earlier generations teach the next one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.generation import Generation

#: A generation that ended within so many seconds may have met a message that ends every channel.
SHORT_LIFE = 10.0
#: Looks after which a silent consumer is rebuilt at the latest.
LONGEST_PATIENCE = 64


class Caution:
    """Counts the ways in which generations ended. All times are of the monotonic clock, in seconds."""

    def __init__(self) -> None:
        #: Deliveries still to be taken one at a time: something among them ends every channel, and must do so alone.
        self.singly = 0
        #: Generations in a row that soon ended. (What they acked may never have left this machine.)
        self._short_lived = 0
        #: Looks in a row the consumer may be silent before it is rebuilt; doubled each time that was in vain.
        self._patience = 1
        self._owed = 0
        self._owed_until = 0.0

    def ended(self, generation: Generation, now: float, prefetch: int) -> None:
        """Note the end of a generation: after two that consumed and soon ended, as many as `prefetch` come singly."""
        soon = generation.consumed and now - generation.opened_at < SHORT_LIFE
        self._short_lived = self._short_lived + 1 if soon else 0
        if self._short_lived > 1:
            self.singly = prefetch

    def unanswered(self, generation: Generation, now: float, heartbeat: float) -> None:
        """Note that the broker did not answer the end: by missing heartbeats it will learn that nobody is there."""
        self._owed = generation.received - generation.window.acked
        self._owed_until = now + 2 * heartbeat

    def owed(self, now: float) -> int:
        """How many deliveries the broker still takes for those of a link that has gone silent."""
        return self._owed if now < self._owed_until else 0

    def redelivered(self) -> None:
        """Note a delivery that came before: perhaps to the link that went silent."""
        self._owed = max(0, self._owed - 1)

    def fed(self) -> None:
        """Note that the consumer gets deliveries."""
        self._patience = 1

    def settled(self, count: int) -> bool:
        """Note deliveries settled; whether with them the last that had to come singly is done."""
        before, self.singly = self.singly, max(0, self.singly - count)
        return before > 0 and self.singly == 0

    def is_too_long(self, quiet_looks: int) -> bool:
        """Whether a consumer silent for so many looks is to be rebuilt.

        On a queue with a single active consumer the others are silent for good reason: it says so ever more rarely.
        """
        if quiet_looks < self._patience:
            return False
        self._patience = min(2 * self._patience, LONGEST_PATIENCE)
        return True
