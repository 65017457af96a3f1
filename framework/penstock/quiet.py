"""Before a consumer is cancelled: wait until nothing is on its way to it, which would go back (decision 0026)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.clock import Clock
    from penstock.generation import Generation

#: A consumer for which nothing has come for so many seconds has nothing on its way, if its queue has nothing ready.
QUIET = 0.2
#: How long a queue is waited for that is empty but for what trickles in, and one that has more and does not send it.
LONGEST_TRICKLE = 1.0
LONGEST_STALL = 3.0


async def until_quiet(generation: Generation, queue: str, is_full: Callable[[], bool], clock: Clock) -> None:
    """Return once nothing is on its way, or the consumer holds as much as it may. Raises LinkError.

    A quorum queue sends what an ack has made room for when that is on its disk, and nobody knows when that is; that it
    has more to send it says, if it answers.
    """
    begun = clock.monotonic()
    seen = -1
    while not generation.ended.is_set() and not is_full():
        waited = clock.monotonic() - begun
        if waited >= LONGEST_STALL:
            return
        nothing_came = seen == generation.received
        if (nothing_came or waited >= LONGEST_TRICKLE) and await generation.ready(queue) == 0:
            return
        seen = generation.received
        await clock.sleep(QUIET)
