"""Suspects: deliveries that came back often. Each is tried alone, and a note of it outlives the process.

A note is a small message in the worker's queue `<queue>.suspects`. It is there before the suspect is decoded, and taken
away once the process has survived that; so those that are left say how often the process died over it, alone. The
suspect itself is never moved: it keeps its place in the queue, and nothing of it can be lost.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import structlog
from pamqp.commands import Basic

from penstock.broker import close, connect, open_channel, request
from penstock.errors import BrokerBlocked, LinkError
from penstock.idempotency import KEY_HEADER, canonical, digest
from penstock.outcome import Poison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiormq.channel import Channel

    from penstock.broker import BrokerConnection
    from penstock.delivery import Delivery
    from penstock.metrics import Metrics
    from penstock.publish_link import PublishLink
    from penstock.settings import Settings
    from penstock.worker import Worker

log = structlog.get_logger(__name__)


class Suspects:
    """The suspects of one worker: one at a time is `under_way`."""

    def __init__(self, worker: Worker, settings: Settings, publisher: PublishLink, metrics: Metrics) -> None:
        self.settings = settings
        #: The name in the notes of the suspect in hand; empty while there is none.
        self.under_way = ""
        self._worker = worker
        self._publisher = publisher
        self._metrics = metrics
        self._connection: BrokerConnection | None = None
        #: The notes that are in hand while the channel is open: nobody else sees them then.
        self._channel: Channel | None = None
        self._tags: list[int] = []
        self._condemned = False

    async def begin(self, deliveries: Sequence[Delivery]) -> Poison | None:
        """Note that a suspect is tried, if that is what the batch is. Poison: it was tried often enough.

        Where it cannot be noted it is tried all the same: one death is then not counted.
        """
        if not deliveries[0].is_suspect:
            return None
        self.under_way, self._condemned = _name(deliveries[0]), False
        self._metrics.suspects.inc()
        deaths = 0
        try:
            deaths = await self._look()
            if deaths < self.settings.queue.max_deliveries:
                await self._note()
        except LinkError as error:
            log.warning("suspect_not_noted", error=str(error))
        log.info("suspect_tried_alone", message_id=deliveries[0].properties.message_id, deaths=deaths)
        if deaths < self.settings.queue.max_deliveries:
            return None
        self._condemned = True
        text = f"the worker's process died {deaths} times while it tried this message alone"
        return Poison("worker_died", "WorkerDied", text)

    async def survived(self) -> None:
        """The process outlived the try, or ends in good order: that one does not count, nor do those before."""
        if self.under_way and not self._condemned:
            await self.settled()

    async def settled(self) -> None:
        """The suspect is done with: take its notes away."""
        if self.under_way:
            try:
                channel = await self._read()
                async with request("the notes on a suspect cannot be taken away"):
                    while self._tags:
                        await channel.basic_ack(self._tags.pop(), wait=True)
            except LinkError as error:
                log.warning("suspect_notes_left", error=str(error))
        await self._let_go()
        # Not before: who is cancelled here takes the rest away when the process is closed.
        self.under_way = ""

    async def close(self) -> None:
        """Leave the notes as they are, but for those of a try that ends now, in good order."""
        await self.survived()
        await self._let_go()
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    async def _look(self) -> int:
        """How many notes there are of the suspect under way. Raises LinkError."""
        await self._read()
        found = len(self._tags)
        await self._let_go()
        return found

    async def _read(self) -> Channel:
        """Take all notes in hand, and remember those of the suspect under way; their channel. Raises LinkError."""
        await self._let_go()
        if self._connection is None or self._connection.is_closed or self._connection.transport is None:
            self._connection = await connect(self.settings.rabbitmq, f"{self._worker.name} suspects")
        channel = self._channel = await open_channel(self._connection, confirms=False)
        async with request("the notes on suspects cannot be read"):
            while True:
                message = await channel.basic_get(self._worker.suspects_queue)
                if not isinstance(message.delivery, Basic.GetOk):
                    return channel
                if message.body == self.under_way.encode() and message.delivery.delivery_tag is not None:
                    self._tags.append(message.delivery.delivery_tag)

    async def _note(self) -> None:
        """Have a note on the broker's disk. Raises LinkError."""
        if self._publisher.blockage.reason:
            raise BrokerBlocked(self._publisher.blockage.trouble)
        properties = Basic.Properties(delivery_mode=2)
        await self._publisher.publish("", self._worker.suspects_queue, self.under_way.encode(), properties)

    async def _let_go(self) -> None:
        """Close the channel, which puts every note back that is not acked."""
        channel, self._channel = self._channel, None
        self._tags = []
        if channel is not None:
            await close(channel)


def _name(delivery: Delivery) -> str:
    """What a message is called in the notes: the same each time it is delivered."""
    key = str(delivery.headers.get(KEY_HEADER, ""))
    return digest(canonical((delivery.properties.message_id or "", key)) + delivery.body)
