"""Very many letters, put into a DLQ and read there about as fast as the broker can."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from hashlib import sha256
from typing import TYPE_CHECKING

from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from penstock.drill.servers import Address
from support import amqp, broker, replays

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

#: Letters that are written to the socket in one piece.
PIECE = 500


async def put(url: str, queue: str, letters: Iterable[tuple[bytes, Basic.Properties]]) -> None:
    """Publish letters to a durable classic queue, in order, without a wait for any. Returns once all are there."""
    await replays.put(url, queue, ())
    depth = await broker.depth(url, queue)
    address = Address(url)
    waiting: list[bytes] = []
    async with amqp.wire(address) as wire:
        await wire.open(address, address.database)
        await wire.open_channel()
        publish = frame.marshal(Basic.Publish(routing_key=queue), 1)
        for body, properties in letters:
            header = frame.marshal(ContentHeader(0, len(body), properties), 1)
            waiting += (publish, header, frame.marshal(ContentBody(body), 1))
            depth += 1
            if depth % PIECE == 0:
                wire.writer.writelines(waiting)
                waiting.clear()
                await wire.writer.drain()
        wire.writer.writelines(waiting)
        await wire.writer.drain()
        await _holds(url, queue, depth)


async def look(url: str, queue: str) -> list[bytes]:
    """The digest of every letter of a queue, in order: of the bytes of its properties and its body. They stay."""
    return [sha256(properties + body).digest() async for properties, body in letters(url, queue)]


async def letters(url: str, queue: str) -> AsyncIterator[tuple[bytes, bytes]]:
    """Every letter of a queue, in order: the bytes of its properties and its body. They stay. Use it up."""
    depth = await broker.depth(url, queue)
    address = Address(url)
    found = 0
    async with amqp.wire(address) as wire, asyncio.timeout(120):
        await wire.open(address, address.database)
        await wire.open_channel()
        wire.send(Basic.Consume(queue=queue, consumer_tag="look"), channel=1)
        async with aclosing(wire.payloads()) as payloads:
            properties = b""
            while found < depth:
                kind, payload = await anext(payloads)
                if kind == frame.constants.FRAME_HEADER:
                    properties = payload
                elif kind == frame.constants.FRAME_BODY:
                    found += 1
                    yield properties, payload
    await _holds(url, queue, depth)


async def _holds(url: str, queue: str, depth: int) -> None:
    async with amqp.channel(url) as opened:
        await amqp.depth_becomes(opened, await opened.get_queue(queue), depth, 60)
