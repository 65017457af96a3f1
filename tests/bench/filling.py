"""Queues are filled faster than a client library publishes: frames made here go out by aiormq's connection."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

import aiormq
from aiormq.abc import ChannelFrame
from pamqp import commands, frame
from pamqp.header import ContentHeader

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from aiormq.abc import AbstractChannel, AbstractConnection

#: Bytes of frames written at once.
CHUNK = 256 * 1024
#: Seconds until everything published must be in the queue.
ARRIVED = 300
#: Seconds between two looks at the queue.
LOOK = 0.02


def fill(
    url: str,
    queue: str,
    bodies: Iterable[bytes],
    headers: Mapping[str, Any] | None = None,
    *,
    arrive: bool = True,
) -> int:
    """Empty a queue, publish the bodies to it, persistent, and wait until all are ready there; how many.

    `arrive` False: somebody consumes from it already, so that they never are; then they are confirmed. (The last ones
    of a channel that is closed before never reach a quorum queue.)
    """
    return asyncio.run(_fill(url, queue, bodies, dict(headers or {}), arrive=arrive))


def declare(url: str, queue: str, kind: str) -> None:
    """Declare a durable queue of a type, as one that nobody has a policy for."""
    asyncio.run(_declare(url, queue, kind))


def depth(url: str, queue: str) -> int:
    """How many messages are ready in a queue."""
    return asyncio.run(_asked(url, queue))


async def send(
    connection: AbstractConnection,
    channel: AbstractChannel,
    queue: str,
    bodies: Iterable[bytes],
    headers: Mapping[str, Any] | None = None,
) -> int:
    """Write the messages to the connection, persistent; how many. On a channel with confirms each is confirmed."""
    count = 0
    confirmed: list[asyncio.Future[Any]] = []
    largest = connection.connection_tune.frame_max - 8
    for payload, messages in _chunks(bodies, queue, dict(headers or {}), channel.number, largest):
        loop = asyncio.get_running_loop()
        if channel.publisher_confirms:
            tags = {tag: loop.create_future() for tag in range(count + 1, count + messages + 1)}
            channel.confirmations.update(tags)
            confirmed += tags.values()
        written = loop.create_future()
        await connection.write_queue.put(ChannelFrame(payload, should_close=False, drain_future=written))
        await written
        count += messages
    async with asyncio.timeout(ARRIVED):
        await asyncio.gather(*confirmed)
    return count


async def _fill(url: str, queue: str, bodies: Iterable[bytes], headers: dict[str, Any], *, arrive: bool) -> int:
    async with await aiormq.connect(url) as connection:
        channel = await connection.channel(publisher_confirms=not arrive)
        # What a consumer that has just ended held comes back late, and would outlive the purge.
        while arrive and (await channel.queue_declare(queue, passive=True)).consumer_count:  # noqa: ASYNC110 - of the broker
            await asyncio.sleep(LOOK)
        await channel.queue_purge(queue)
        count = await send(connection, channel, queue, bodies, headers)
        async with asyncio.timeout(ARRIVED):
            while arrive and await _ready(channel, queue) < count:  # noqa: ASYNC110 - of the broker
                await asyncio.sleep(LOOK)
    return count


async def _declare(url: str, queue: str, kind: str) -> None:
    async with await aiormq.connect(url) as connection:
        channel = await connection.channel()
        await channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind})


async def _asked(url: str, queue: str) -> int:
    async with await aiormq.connect(url) as connection:
        return await _ready(await connection.channel(), queue)


async def _ready(channel: AbstractChannel, queue: str) -> int:
    return int((await channel.queue_declare(queue, passive=True)).message_count or 0)


def _chunks(
    bodies: Iterable[bytes], queue: str, headers: dict[str, Any], channel: int, largest: int
) -> Iterator[tuple[bytes, int]]:
    """Frames of some messages at a time, and how many messages those are."""
    method = frame.marshal(commands.Basic.Publish(exchange="", routing_key=queue), channel)
    properties = commands.Basic.Properties(content_type="application/json", delivery_mode=2, headers=headers or None)
    head_by_size: dict[int, bytes] = {}
    chunk, messages = bytearray(), 0
    for body in bodies:
        size = len(body)
        if size not in head_by_size:
            head_by_size[size] = frame.marshal(ContentHeader(0, size, properties), channel)
        chunk += method + head_by_size[size]
        for start in range(0, size, largest):
            part = body[start : start + largest]
            # Type 3 is a body frame; 0xCE ends every frame.
            chunk += struct.pack(">BHI", 3, channel, len(part)) + part + b"\xce"
        messages += 1
        if len(chunk) > CHUNK:
            yield bytes(chunk), messages
            chunk, messages = bytearray(), 0
    if messages:
        yield bytes(chunk), messages
