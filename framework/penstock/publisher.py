"""Publish so that it is known to have arrived: persistent, mandatory, confirmed, bounded in time."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiormq.exceptions import ChannelNotFoundEntity, DeliveryError
from aiormq.exceptions import PublishError as Returned
from pamqp.commands import Basic

from penstock.broker import close, connect, ensure_topology, open_channel, request
from penstock.errors import LinkError, PublishError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from aio_pika.abc import AbstractConnection
    from aiormq.channel import Channel

    from penstock.broker import TopologyMode
    from penstock.reader import Outgoing
    from penstock.settings import RabbitMQ
    from penstock.topology import Topology

#: Publishes that may wait for their confirm at one time.
WINDOW = 1000


class Publisher:
    """One publishing connection, opened when first needed and again after it was lost."""

    def __init__(self, settings: RabbitMQ, name: str) -> None:
        self._settings = settings
        self._name = name
        self._connection: AbstractConnection | None = None
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()

    async def publish(self, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties) -> None:
        """Publish one message. Returns once the broker has confirmed that a queue holds it.

        Raises PublishError when it was returned (no queue is bound), refused, or not confirmed within
        publish_timeout seconds; the message may then still arrive. Raises LinkError without a broker.
        """
        channel = self._channel
        if channel is None or channel.is_closed:
            channel = await self._open()
        seconds = self._settings.publish_timeout
        try:
            async with request(f"not confirmed by {exchange or 'the default exchange'}", seconds):
                await channel.basic_publish(
                    body, exchange=exchange, routing_key=routing_key, properties=properties, mandatory=True, wait=False
                )
        except LinkError as error:
            match error.__cause__:
                case Returned():
                    text = f"no queue is bound to exchange '{exchange}' for routing key '{routing_key}'"
                case ChannelNotFoundEntity():
                    text = f"there is no exchange '{exchange}': name one that exists, or run its worker once to make it"
                    await self.close()
                case DeliveryError():
                    text = f"the broker refused a message for '{routing_key}' (a queue is full, or unavailable)"
                case _:
                    text = str(error)
                    await self.close()
            raise PublishError(text) from error
        except ValueError as error:  # a routing key of more than 255 bytes
            raise PublishError(str(error)) from error

    async def ensure(self, topologies: Mapping[Topology, TopologyMode]) -> None:
        """Declare or check queues and exchanges. Raises TopologyError, LinkError."""
        await self._open()
        if self._connection is not None:
            for topology, mode in topologies.items():
                await ensure_topology(self._connection, topology, mode)

    async def close(self) -> None:
        """Close the connection; the next publish opens another."""
        connection, self._connection, self._channel = self._connection, None, None
        if connection is not None:
            await close(connection)

    async def _open(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                await self.close()
                self._connection = await connect(self._settings, f"{self._name} publish")
                self._channel = await open_channel(self._connection, confirms=True)
            return self._channel


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
    `on_progress` is told the number confirmed so far. Raises what Publisher.publish and
    Publisher.ensure raise, and what reading `outgoing` raises, after all that was sent is settled.
    """
    publisher = Publisher(settings, "publish")
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
        for message in outgoing:
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
        await publisher.close()
    if failures:
        raise failures[0]
    on_progress(confirmed)
    return confirmed
