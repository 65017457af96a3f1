"""The watchdog: ends a generation whose consumer died in silence, or whose broker answers nothing any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from penstock.caution import Caution
    from penstock.generation import Generation
    from penstock.link import Link
    from penstock.metrics import Metrics


class Watchdog:
    """Looks at the queue every queue.watchdog seconds, and at whether its deliveries come."""

    def __init__(self, link: Link, caution: Caution, metrics: Metrics) -> None:
        self._link = link
        self._caution = caution
        self._metrics = metrics

    async def look_after(self, generation: Generation) -> None:
        """Return when the generation has ended, of itself or by the watchdog."""
        while not generation.ended.is_set():
            try:
                async with asyncio.timeout(self._link.settings.queue.watchdog):
                    await generation.ended.wait()
            except TimeoutError:
                await self._watch(generation)

    async def _watch(self, generation: Generation) -> None:
        """End a generation that got no delivery between two looks, though some were ready or nobody answers a look.

        Who answers no look is away, whether the consumer is paused or not: what is held is the broker's again.
        Where the socket is not read, nothing can be seen.
        """
        link = self._link
        if link.throttled:
            return
        consumers = await link.look()
        if consumers is not None:
            await link.look_at_letters()
        starved = link.consuming and (not consumers or (bool(link.depth) and link.held < link.prefetch))
        if not (consumers is None or starved) or generation.quiet_at != generation.received:
            generation.quiet_at = generation.received
            generation.quiet_looks = 0
            if generation.received:
                self._caution.fed()
            return
        generation.quiet_looks += 1
        if self._caution.is_too_long(generation.quiet_looks):
            self._metrics.consumer_rebuilt.inc()
            generation.end(f"the consumer is silent: {link.depth} messages ready, {consumers} consumers")
