"""One publishing connection: persistent, mandatory, confirmed, bounded in time."""

from __future__ import annotations

import asyncio
import uuid
from contextlib import aclosing
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed
from pamqp.commands import Basic

from penstock.blockage import unheard
from penstock.broker import close, connect, ensure_topology, open_channel
from penstock.errors import BrokerBlocked, ChannelRefused, LinkError, PublishError, PublishRefused
from penstock.publish_channel import LibraryChannel, OwnChannel, unconfirmed
from penstock.readahead import read_ahead

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

    from aio_pika.abc import AbstractConnection

    from penstock.blockage import Blockage
    from penstock.broker import BrokerConnection, TopologyMode
    from penstock.publish_channel import PublishChannel
    from penstock.reader import Outgoing
    from penstock.settings import RabbitMQ
    from penstock.topology import Topology

#: Publishes that may wait for their confirm at one time.
WINDOW = 1000


class PublishLink:
    """One publishing connection, opened when first needed and again after it was lost."""

    def __init__(self, settings: RabbitMQ, name: str, blockage: Blockage | None = None) -> None:
        #: Says whether the broker takes messages.
        self.blockage = blockage or unheard()
        self._settings = settings
        self._name = name
        #: The broker that served last.
        self._place = ""
        self._connection: AbstractConnection | None = None
        self._channel: PublishChannel | None = None
        self._opening = asyncio.Lock()
        #: Publishes that were given the channel, and have not ended yet; and set while there are none.
        self._under_way = 0
        self._quiet = asyncio.Event()
        self._quiet.set()
        #: Of the last attempt to open it.
        self._failure: LinkError | None = None
        # A returned message is known by its id alone: one of each id at a time, or a return is taken for that of
        # another message and a message that no queue took counts as confirmed.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        # Who waits for its turn holds up those behind it, or they would overtake.
        self._queueing = asyncio.Lock()

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: Basic.Properties,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """Publish one message. Returns once the broker has confirmed that a queue holds it.

        Messages go out in the order of the calls. After a loss, the next connection waits until all that was under
        way on the last one has failed: whoever then finds its message `given_up`, because those are to be sent again
        before it, sends it no more, and gets a LinkError.

        Raises PublishRefused when it was returned (no queue is bound) or refused, ChannelRefused when it or
        another ended the channel. Raises PublishError when it was not confirmed within publish_timeout seconds;
        the message may then still arrive. Raises BrokerBlocked as `blockage` says, LinkError without a broker.
        """
        before = self._failure
        turn = self._turns.setdefault(properties.message_id or uuid.uuid4().hex, asyncio.Lock())
        async with self._queueing:
            await turn.acquire()
        try:
            channel = await self._open(before, given_up)
            self._under_way += 1
            self._quiet.clear()
            try:
                await self._publish(channel, exchange, routing_key, body, properties)
            finally:
                self._under_way -= 1
                if not self._under_way:
                    self._quiet.set()
        finally:
            turn.release()

    async def _publish(
        self, channel: PublishChannel, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties
    ) -> None:
        await self.blockage.passable(self._settings.publish_timeout)
        try:
            await channel.publish(exchange, routing_key, body, properties)
        except PublishRefused:
            raise
        except LinkError as error:
            if isinstance(error.__cause__, TimeoutError) and self.blockage.reason:
                # The connection stays: what it still holds arrives before anything that is sent later.
                raise BrokerBlocked(f"{unconfirmed(exchange)}: {self.blockage.trouble}") from error
            await self._close(channel)
            raise _lost(error) from error

    async def ensure(self, topologies: Mapping[Topology, TopologyMode]) -> None:
        """Declare or check queues and exchanges. Raises TopologyError, LinkError."""
        await self._open(self._failure)
        if self._connection is not None:
            for topology, mode in topologies.items():
                await ensure_topology(self._connection, topology, mode)

    async def close(self) -> None:
        """Close the connection; the next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await close(connection)

    async def _close(self, channel: PublishChannel) -> None:
        """Close the connection of a channel that failed, unless another publish has opened the next one meanwhile."""
        if self._channel is channel:
            await self.close()

    async def _open(self, before: LinkError | None, given_up: Callable[[], bool] = lambda: False) -> PublishChannel:
        """The channel, opened where it is not. `before` is the failure that was known when somebody began to wait."""
        # In turn even where it is open: nobody overtakes those who have waited for it.
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self._quiet.wait()
                # Who waited for an attempt that failed shares its failure: a thousand publishes are one attempt.
                if self._failure is not None and self._failure is not before:
                    raise LinkError(str(self._failure)) from self._failure
                await self.close()
                try:
                    connection = await connect(self._settings, f"{self._name} publish", self._place, self.blockage)
                    self._connection, self._place = connection, connection.place
                    self._channel = await self._channel_of(connection)
                except LinkError as failure:
                    self._failure = failure
                    raise
                self._failure = None
            if given_up():
                raise PublishError("not sent: the connection was lost to those before it")
            return self._channel

    async def _channel_of(self, connection: BrokerConnection) -> PublishChannel:
        channel, seconds = await open_channel(connection, confirms=True), self._settings.publish_timeout
        if connection.wire is None:
            return LibraryChannel(channel, seconds, self.blockage)
        return OwnChannel(channel, seconds, self.blockage, connection.wire)


async def failures_of(publishes: Iterable[Awaitable[None]]) -> list[LinkError | None]:
    """What each of several publishes has failed with, in their order; None where it was confirmed.

    All are under way together, and none ends because of another. Raises only what is no LinkError.
    """
    tasks = [asyncio.ensure_future(_failure_of(publish)) for publish in publishes]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _failure_of(publish: Awaitable[None]) -> LinkError | None:
    try:
        await publish
    except LinkError as error:
        return error
    return None


def _lost(error: LinkError) -> PublishError:
    """What a publish raises whose channel is no more."""
    match error.__cause__:
        case ChannelNotFoundEntity() as cause:
            return ChannelRefused(f"{cause}: name an exchange that exists, or run its worker once to make it")
        case ChannelAccessRefused() | ChannelPreconditionFailed() as cause:
            return ChannelRefused(f"{cause}: the broker's settings do not allow it")
        case _:
            return PublishError(str(error))


def properties_of(message: Outgoing) -> Basic.Properties:
    """The AMQP properties of a message about to be published: persistent, with an id and the time."""
    return Basic.Properties(
        content_type="application/json",
        headers=dict(message.headers),
        delivery_mode=2,
        message_id=uuid.uuid4().hex,
        timestamp=datetime.now(UTC),
    )


async def publish_all(
    settings: RabbitMQ,
    topologies: Mapping[Topology, TopologyMode],
    outgoing: Iterable[Outgoing],
    *,
    on_progress: Callable[[int], None],
) -> int:
    """Publish every message, confirmed, many at a time, in order; returns how many.

    First the queues of `topologies` are made or checked, so that nothing is published past them.
    `on_progress` is told the number confirmed so far. Raises what PublishLink.publish and
    PublishLink.ensure raise, and what reading `outgoing` raises, after all that was sent is settled.
    """
    publisher = PublishLink(settings, "publish")
    room = asyncio.Semaphore(WINDOW)
    sending: set[asyncio.Task[None]] = set()
    failures: list[LinkError] = []
    confirmed = 0

    async def send(message: Outgoing) -> None:
        nonlocal confirmed
        try:
            await publisher.publish(message.exchange, message.routing_key, message.body, properties_of(message))
            confirmed += 1
        except LinkError as error:
            failures.append(error)
        finally:
            room.release()

    try:
        await publisher.ensure(topologies)
        async with aclosing(read_ahead(outgoing)) as messages:
            async for message in messages:
                await room.acquire()
                if failures:
                    break
                task = asyncio.create_task(send(message))
                sending.add(task)
                task.add_done_callback(sending.discard)
                on_progress(confirmed)
    finally:
        if sending:
            await asyncio.wait(sending)
        on_progress(confirmed)
        await publisher.close()
    if failures:
        raise failures[0]
    return confirmed
