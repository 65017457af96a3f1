"""A generation: one life of one channel.

Delivery tags mean something only within it. It ends when the channel or the connection is lost, when
the broker cancels the consumer (an ack sent after that could remove a message of a queue declared
anew), and when the watchdog gives it up.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pamqp.commands import Basic

from penstock.broker import request
from penstock.delivery import Delivery
from penstock.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Sequence

    from aiormq.abc import DeliveredMessage
    from aiormq.channel import Channel

    from penstock.receive import Receiver
    from penstock.splitter import Received


class AckWindow:
    """The delivery tags of one channel: which are settled, and how far an ack with multiple=True may reach.

    Tags count 1, 2, 3 … on a channel. An ack covers every tag up to its own; one whose own tag is
    settled already would make the broker close the channel, so each prefix is given out once.
    """

    def __init__(self) -> None:
        #: Every tag up to this one is settled.
        self.acked = 0
        self._settled: set[int] = set()

    def settle(self, tags: Iterable[int]) -> int | None:
        """Mark tags as settled; the tag to ack with multiple=True, or None while an earlier one is open."""
        self._settled.update(tag for tag in tags if tag > self.acked)
        reach = self.acked
        while reach + 1 in self._settled:
            reach += 1
            self._settled.discard(reach)
        if reach == self.acked:
            return None
        self.acked = reach
        return reach


@dataclass(slots=True, eq=False)
class Generation:
    """One life of the consuming channel; `number` counts them from 1, `held_bytes` is of bodies not settled.

    `receiver` is that of its connection; without one, deliveries come by way of the client library. So is `throttle`.
    `consumed` says whether a consumer was ever asked for; `opened_at` is of the monotonic clock, in seconds.
    `before` is what had been received before the present consumer.
    `quiet_at` is what had been received at the watchdog's last look, `quiet_looks` how often it found no more.
    """

    number: int
    channel: Channel
    opened_at: float
    receiver: Receiver | None = None
    throttle: Throttle = field(default_factory=Throttle)
    window: AckWindow = field(default_factory=AckWindow)
    consumer_tag: str | None = None
    consumed: bool = False
    received: int = 0
    before: int = 0
    held_bytes: int = 0
    quiet_at: int | None = None
    quiet_looks: int = 0
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    why: str = ""

    def end(self, why: str) -> None:
        """Nothing may be settled on this channel any more."""
        if not self.ended.is_set():
            self.why = why
            self.ended.set()

    @asynccontextmanager
    async def _asking(self, what: str) -> AsyncIterator[None]:
        with self.throttle.asking():
            async with request(what):
                yield

    def closed(self, closing: asyncio.Future[Any]) -> None:
        """Note that the channel is closed: `closing` says why."""
        if self.receiver is not None:
            self.receiver.forget(self.number)
        error = None if closing.cancelled() else closing.exception()
        self.end("the channel was closed" if error is None else f"the channel was lost: {error}")

    async def consume(self, queue: str, prefetch: int, received: Received) -> None:
        """Consume with a new tag each time: with the old one a quorum queue may deliver nothing while some are held.

        `received` is told the deliveries, several at once as they come, in order. Raises LinkError.
        """
        tag = f"penstock-{uuid4().hex}"
        async with self._asking("cannot consume"):
            await self.channel.basic_qos(prefetch_count=prefetch)
            # Said before the broker answers: its first deliveries may end the channel before that.
            self.consumed = True
            self.before = self.received
            if self.receiver is not None:
                frame_max = self.channel.connection.connection_tune.frame_max
                self.receiver.consume(self.channel.number, tag, self.number, received, frame_max)
            # The client library has to know the consumer; deliveries it gets only where no receiver takes them.
            await self.channel.basic_consume(queue, partial(self._delivered, received), consumer_tag=tag)
        self.consumer_tag = tag

    async def _delivered(self, received: Received, message: DeliveredMessage) -> None:
        """The client library starts this for each delivery, in order; it never waits, so the order stays."""
        frame = message.delivery
        if isinstance(frame, Basic.Deliver):
            delivery = Delivery(
                self.number,
                frame.delivery_tag or 0,
                message.body,
                exchange=frame.exchange or "",
                routing_key=frame.routing_key or "",
                redelivered=bool(frame.redelivered),
                properties=message.header.properties,
            )
            received([delivery])

    @property
    def outstanding(self) -> int:
        """Deliveries of the present consumer, not of those before it, for which the broker has no ack."""
        return self.received - max(self.before, self.window.acked)

    async def ready(self, queue: str) -> int | None:
        """How many messages of the queue could be sent to somebody; None where it does not say. Raises LinkError."""
        async with self._asking("cannot look at the queue"):
            answer = await self.channel.queue_declare(queue, passive=True)
        # The broker gives a quorum queue 250 ms to answer, and says 0 of all for one that does not: of us as well.
        return answer.message_count if answer.consumer_count else None

    async def cancel(self) -> None:
        """Cancel the consumer, if there is one; what it was sent stays held. Raises LinkError."""
        tag, self.consumer_tag = self.consumer_tag, None
        if tag is not None:
            await self.cancel_one(tag)

    async def cancel_one(self, tag: str) -> None:
        """Cancel the consumer of that tag, which need not be the last one. Raises LinkError."""
        async with self._asking("cannot cancel the consumer"):
            await self.channel.basic_cancel(tag)
        # Not before: what was on its way when the broker read the cancel is held like the rest.
        if self.receiver is not None:
            self.receiver.forget(self.number, tag)

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> bool:
        """Settle deliveries of this channel; ack what is settled without a gap. Whether anything was sent.

        Raises LinkError.
        """
        self.held_bytes -= sum(len(delivery.body) for delivery in deliveries)
        reach = self.window.settle(delivery.tag for delivery in deliveries)
        if reach is not None:
            async with request("cannot acknowledge"):
                await self.channel.basic_ack(reach, multiple=True, wait=False)
        return reach is not None
