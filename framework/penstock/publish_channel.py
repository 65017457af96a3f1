"""The channel of a publishing connection: past the client library, or by it where that is all there is.

The library takes a lock, a turn of its writer and a `send` for each message, and a turn of its reader for each confirm.
Here a turn of the loop is one write, and one read brings many confirms. The connection stays the library's.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol
from uuid import uuid4

from aiormq.exceptions import DeliveryError
from aiormq.exceptions import PublishError as Returned

from penstock.broker import BROKER_ERRORS, request
from penstock.confirms import Answer, Confirms
from penstock.errors import LinkError, NotRouted, PublishRefused
from penstock.field_table import NOT_AMQP
from penstock.publish_frames import frames_of

if TYPE_CHECKING:
    from aiormq.channel import Channel
    from pamqp.commands import Basic

    from penstock.blockage import Blockage
    from penstock.broker_transport import Wire

#: Bytes of messages that are gathered for one write.
_GATHERED = 256 * 1024
#: Bytes on their way to the socket beyond which a publish waits until it takes them.
_ROOM = 1024 * 1024


class PublishChannel(Protocol):
    """A channel with confirms."""

    @property
    def is_closed(self) -> bool:
        """Whether nothing can be published on it any more."""

    async def publish(self, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties) -> None:
        """Publish one message, mandatory; returns once the broker has confirmed that a queue holds it.

        Of each message id there is one at a time. Raises NotRouted, and PublishRefused where the broker refuses the
        message or AMQP cannot say it; then the channel stays. Raises LinkError for all else, whose cause is a
        TimeoutError where no answer came in time, or where the broker has stopped taking messages.
        """


class LibraryChannel:
    """The client library's own way."""

    def __init__(self, channel: Channel, seconds: float, blockage: Blockage) -> None:
        self._channel = channel
        self._seconds = seconds
        self._blockage = blockage

    @property
    def is_closed(self) -> bool:
        """As PublishChannel has it."""
        return self._channel.is_closed

    async def publish(self, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties) -> None:
        """As PublishChannel has it."""
        try:
            async with request(unconfirmed(exchange), self._seconds) as limit:
                with self._blockage.ends(limit):
                    await self._channel.basic_publish(
                        body,
                        exchange=exchange,
                        routing_key=routing_key,
                        properties=properties,
                        mandatory=True,
                        wait=False,
                    )
        except LinkError as error:
            match error.__cause__:
                case Returned():
                    raise _not_routed(exchange, routing_key) from error
                case DeliveryError():
                    raise _refused(routing_key) from error
                case _:
                    raise
        except NOT_AMQP as error:
            raise _not_encodable(routing_key, error) from error


class OwnChannel:
    """Frames of our own, which go out in the order of the calls; confirms and returns do not reach the library."""

    def __init__(self, channel: Channel, seconds: float, blockage: Blockage, wire: Wire) -> None:
        self._channel = channel
        self._seconds = seconds
        self._blockage = blockage
        self._frame_max = channel.connection.connection_tune.frame_max
        self._loop = asyncio.get_running_loop()
        self._confirms = Confirms()
        self._writer = wire.writer
        #: Frames for the next write, and their bytes.
        self._gathered: list[bytes] = []
        self._size = 0
        #: Publishes that wait for the socket, one behind the other, and what keeps them so.
        self._waiting = 0
        self._line = asyncio.Lock()
        wire.receiver.confirm(channel.number, self._confirms, self._frame_max)
        blockage.watch(self._confirms.expire)
        channel.closing.add_done_callback(self._closed)

    @property
    def is_closed(self) -> bool:
        """As PublishChannel has it."""
        return self._channel.is_closed

    async def publish(self, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties) -> None:
        """As PublishChannel has it."""
        deadline = self._loop.time() + self._seconds
        # As the library does it: a message that comes back is known by its id.
        message_id = properties.message_id = properties.message_id or uuid4().hex
        try:
            frames = frames_of(self._channel.number, exchange, routing_key, body, properties, self._frame_max)
        except NOT_AMQP as error:
            raise _not_encodable(routing_key, error) from error
        try:
            if self._waiting or self._unsent > _ROOM:
                await self._wait(deadline)
                if self._blockage.refuses:  # said in the very turn in which the wait ended
                    raise self._late(exchange) from TimeoutError()
            if self._channel.is_closed:
                raise ConnectionError("the channel was lost")
            answer = self._confirms.add(message_id, deadline)
            self._write(frames)
            match await answer:
                case Answer.RETURNED:
                    raise _not_routed(exchange, routing_key)
                case Answer.REFUSED:
                    raise _refused(routing_key)
                case Answer.LATE:
                    # No exception of the future's, which would hold on to the message until the broker has answered.
                    raise self._late(exchange) from TimeoutError()
        except TimeoutError as error:
            raise self._late(exchange) from error
        except BROKER_ERRORS as error:
            raise LinkError(f"{unconfirmed(exchange)}: {error}") from error

    @property
    def _unsent(self) -> int:
        return self._size + self._writer.transport.get_write_buffer_size()

    def _late(self, exchange: str) -> LinkError:
        return LinkError(f"{unconfirmed(exchange)}: the broker did not answer within {self._seconds:g} s")

    async def _wait(self, deadline: float) -> None:
        """Wait, behind those who came before, until the socket has taken most of what it was given."""
        self._waiting += 1
        try:
            async with asyncio.timeout_at(deadline) as limit:
                with self._blockage.ends(limit):
                    async with self._line:
                        self._flush()
                        await self._writer.drain()
        finally:
            self._waiting -= 1

    def _write(self, frames: bytes) -> None:
        self._gathered.append(frames)
        self._size += len(frames)
        if self._size > _GATHERED:
            self._flush()
        elif len(self._gathered) == 1:
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        frames, self._gathered, self._size = b"".join(self._gathered), [], 0
        if frames and not self._writer.is_closing():
            self._writer.write(frames)

    def _closed(self, closing: asyncio.Future[None]) -> None:
        """Tell all that is under way why the channel is no more."""
        self._blockage.unwatch(self._confirms.expire)
        error = None if closing.cancelled() else closing.exception()
        self._confirms.lose(error if isinstance(error, BROKER_ERRORS) else ConnectionError("the channel was lost"))


def unconfirmed(exchange: str) -> str:
    """What a publish comes to that has no answer."""
    return f"not confirmed by {exchange or 'the default exchange'}"


def _not_routed(exchange: str, routing_key: str) -> NotRouted:
    return NotRouted(f"no queue is bound to exchange '{exchange}' for routing key '{routing_key}'")


def _refused(routing_key: str) -> PublishRefused:
    return PublishRefused(f"the broker refused a message for '{routing_key}' (a queue is full, or unavailable)")


def _not_encodable(routing_key: str, error: Exception) -> PublishRefused:
    """Say, a routing key of more than 255 bytes."""
    return PublishRefused(f"a message for routing key '{routing_key}' cannot be put in AMQP's terms: {error}")
