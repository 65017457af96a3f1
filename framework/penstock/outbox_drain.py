"""The drainer of the outbox: what waits there goes to the broker, in order, as soon as it answers."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from penstock.errors import BrokerBlocked, JournalError, LinkError, PublishRefused
from penstock.outbox import PAGE, PAGE_BYTES
from penstock.retry import backoff

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.blockage import Blockage
    from penstock.clock import Clock
    from penstock.message import Message
    from penstock.outbox import Kept, Outbox
    from penstock.settings import RetrySettings

#: The standard library's, as it runs within other people's programs.
log = logging.getLogger(__name__)


class Drainer:
    """Takes from the outbox until it is closed, and sees to it that the outbox gets empty."""

    def __init__(
        self,
        outbox: Outbox,
        send: Callable[[Message, Callable[[], bool]], Awaitable[None]],
        blockage: Blockage,
        settings: RetrySettings,
        clock: Clock,
    ) -> None:
        self.outbox = outbox
        self._send = send
        self._blockage = blockage
        self._settings = settings
        self._clock = clock
        self._filled = asyncio.Event()
        self._turned = asyncio.Event()
        #: The broker took the last page, so that the end of the next is near.
        self._flowing = False
        #: The page met an outage: what of it was not sent yet waits for those before it.
        self._stopped = False
        #: What keeps the outbox from being drained; empty where nothing does.
        self.trouble = ""
        self._task = asyncio.create_task(self._run())

    def put(self, message: Message) -> asyncio.Future[None]:
        """Put a message behind all others, as of this call; done once it is on the disk. Raises JournalFull."""
        done = self.outbox.store(message)
        self._filled.set()
        return done

    async def pace(self) -> None:
        """Slow a caller who has put a message down to what a page takes, while the outbox is being drained."""
        if self._flowing:
            await self._turn()

    async def nearly_there(self) -> None:
        """While the last page is under way, wait for its end: else there would be another, and so on for ever."""
        while self._flowing and not self.outbox.empty and self.outbox.state.pending.within(PAGE, PAGE_BYTES):
            await self._turn()

    async def drained(self) -> None:
        """Wait until nothing waits in the outbox."""
        while not self.outbox.empty:
            await self._turn()

    async def retry(self, failed: Sequence[Kept]) -> None:
        """Let messages that were kept aside wait again, each in its old place."""
        await self.outbox.retry(failed)
        self._filled.set()

    def check(self) -> None:
        """Raise what the drainer has ended with, if it has: nothing would ever leave the outbox."""
        if self._task.done():
            self._task.result()

    async def close(self) -> None:
        """Stop draining; the outbox stays open. Raises what the drainer had ended with."""
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.result()

    async def _turn(self) -> None:
        if not self.outbox.empty:
            await self._turned.wait()
        self.check()

    async def _run(self) -> None:
        try:
            await self._drain()
        finally:
            self._turned.set()

    async def _drain(self) -> None:
        failures = 0
        while True:
            if self.outbox.empty:
                self._flowing = False
                self._filled.clear()
                await self._filled.wait()
            try:
                trouble: Exception | None = await self._page()
            except JournalError as error:
                trouble = error
            self._flowing = self._flowing and trouble is None
            self.trouble = str(trouble or "")
            self._turned.set()
            self._turned = asyncio.Event()
            if trouble is None:
                failures = 0
                continue
            if isinstance(trouble, BrokerBlocked):
                # It says when it takes messages again, on the connection that has held the first of them since then.
                log.warning("outbox_waits: %s", self.trouble)
                await self._blockage.over()
                continue
            failures += 1
            seconds = backoff(failures, self._settings, self._clock)
            log.warning("outbox_waits: attempt %d, next in %.1f s: %s", failures, seconds, self.trouble)
            await self._clock.sleep(seconds)

    async def _page(self) -> LinkError | None:
        """Send the first messages, all under way together; what stopped some of them, or None."""
        page = await self.outbox.page()
        self._stopped = False
        async with asyncio.TaskGroup() as group:
            attempts = [group.create_task(self._attempt(kept)) for kept in page]
        outcomes = [attempt.result() for attempt in attempts]
        confirmed = [kept for kept, outcome in zip(page, outcomes, strict=True) if outcome is None]
        failed = [
            kept._replace(failure=str(outcome))
            for kept, outcome in zip(page, outcomes, strict=True)
            if isinstance(outcome, PublishRefused)
        ]
        if confirmed or failed:
            await self.outbox.settle(confirmed, failed)
            log.info("outbox_drained: %d confirmed, %d wait", len(confirmed), self.outbox.state.pending.records)
        self._flowing = bool(confirmed)
        for kept in failed:
            log.error("publish_failed: %s is kept aside in the outbox: %s", kept.message.id, kept.failure)
        outages = (outcome for outcome in outcomes if outcome and not isinstance(outcome, PublishRefused))
        return next(outages, None)

    async def _attempt(self, kept: Kept) -> LinkError | None:
        try:
            await self._send(kept.message, lambda: self._stopped)
        except LinkError as error:
            self._stopped = self._stopped or not isinstance(error, PublishRefused)
            return error
        return None
