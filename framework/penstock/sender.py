"""Send one message, as often as its refusals allow: what the broker refuses is tried again apart from the others."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from penstock.blockage import Blockage
from penstock.errors import ChannelRefused, PublishRefused
from penstock.publish_link import PublishLink

if TYPE_CHECKING:
    from collections.abc import Callable

    from penstock.clock import Clock
    from penstock.message import Message
    from penstock.settings import Settings

#: The standard library's, as it runs within other people's programs.
log = logging.getLogger(__name__)


class Sender:
    """Two connections: one for all messages, and one for a refused message at a time, which thereby stands alone."""

    def __init__(self, settings: Settings, name: str, clock: Clock) -> None:
        self._settings = settings.transaction
        self._clock = clock
        #: Of both connections. Where there is an outbox, nothing waits for the broker to take messages again.
        self.blockage = Blockage(_say, "raise" if settings.outbox.path else "wait")
        self._link = PublishLink(settings.rabbitmq, name, self.blockage)
        self._apart = PublishLink(settings.rabbitmq, f"{name} apart", self.blockage)
        self._turn = asyncio.Lock()

    async def send(self, message: Message, given_up: Callable[[], bool]) -> None:
        """Returns once the broker has confirmed that a queue holds it; `given_up` as PublishLink.publish has it.

        Raises PublishRefused after transaction.retry_attempts tries that it refused, transaction.retry_delay seconds
        apart; LinkError in an outage, and BrokerBlocked while the broker takes no messages, which count as no try.
        """
        try:
            await _publish(self._link, message, given_up)
        except ChannelRefused:  # perhaps over a neighbour: that counts for nobody
            await self._insist(message, 0, given_up)
        except PublishRefused as refusal:
            await self._pause(message, 1, refusal)
            await self._insist(message, 1, given_up)

    async def _insist(self, message: Message, refusals: int, given_up: Callable[[], bool]) -> None:
        """Try it apart from all others, where a refusal is its own."""
        while True:
            try:
                async with self._turn:
                    await _publish(self._apart, message, given_up)
            except PublishRefused as refusal:
                refusals += 1
                await self._pause(message, refusals, refusal)
            else:
                return

    async def _pause(self, message: Message, refusals: int, refusal: PublishRefused) -> None:
        """Wait until it may be tried again. Raises the refusal where it may not."""
        if refusals >= self._settings.retry_attempts:
            raise refusal
        log.warning("publish_refused: %s, attempt %d: %s", message.id, refusals, refusal)
        await self._clock.sleep(self._settings.retry_delay)

    async def close(self) -> None:
        """Close both connections."""
        await self._link.close()
        await self._apart.close()


def _say(reason: str) -> None:
    if reason:
        log.warning("broker_blocked: it takes no messages: %s", reason)
    else:
        log.warning("broker_unblocked: it takes messages again")


async def _publish(link: PublishLink, message: Message, given_up: Callable[[], bool]) -> None:
    await link.publish(message.exchange, message.routing_key, message.body, message.decoded(), given_up)
