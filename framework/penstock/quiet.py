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
#: Bytes of bodies that came between two looks: the answer to a question would stand behind many more.
FLOOD = 1_000_000


async def until_quiet(generation: Generation, queue: str, is_full: Callable[[], bool], clock: Clock) -> bool:
    """Return once nothing is on its way, or the consumer holds as much as it may; False: much is. Raises LinkError.

    A quorum queue sends what an ack has made room for when that is on its disk, and nobody knows when that is; that it
    has more to send it says, if it answers.
    """
    begun = clock.monotonic()
    seen, size = -1, generation.held_bytes
    while not generation.ended.is_set() and not is_full():
        waited = clock.monotonic() - begun
        floods = generation.held_bytes - size >= FLOOD
        if waited >= LONGEST_STALL:
            return not floods
        nothing_came = seen == generation.received
        trickles = waited >= LONGEST_TRICKLE and not floods
        if (nothing_came or trickles) and await generation.ready(queue) == 0:
            return True
        seen, size = generation.received, generation.held_bytes
        await clock.sleep(QUIET)
    return True
