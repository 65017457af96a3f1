"""AMQP as tests of brokers speak it: through aio-pika, and frame by frame past every library."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import aio_pika
from pamqp import frame
from pamqp.commands import Channel, Connection

from support.wait import INTERVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue
    from pamqp.base import Frame

    from penstock.drill.servers import Address

PROTOCOL_HEADER = b"AMQP\x00\x00\x09\x01"


@asynccontextmanager
async def channel(url: str, **options: Any) -> AsyncIterator[AbstractChannel]:
    """A channel on a connection of its own; it may be closed by the broker meanwhile."""
    connection = await aio_pika.connect(url)
    try:
        yield await connection.channel(**options)
    finally:
        await connection.close()


async def put(opened: AbstractChannel, queue: AbstractQueue | str, *bodies: bytes, **properties: Any) -> None:
    """Publish persistent messages to a queue, confirmed one after the other."""
    name = queue if isinstance(queue, str) else queue.name
    for body in bodies:
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, **properties)
        await opened.default_exchange.publish(message, name)


async def next_of(queue: AbstractQueue, seconds: float = 10) -> AbstractIncomingMessage:
    """The next message of a queue, waited for; not yet settled."""
    try:
        async with asyncio.timeout(seconds):
            while (message := await queue.get(fail=False)) is None:  # noqa: ASYNC110 a queue tells nobody
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        raise AssertionError(f"no message in {queue.name} within {seconds} s") from None
    return message


async def depth_becomes(opened: AbstractChannel, queue: AbstractQueue, depth: int, seconds: float = 10) -> None:
    """Wait until so many messages are ready in a queue."""
    seen: int | None = None
    try:
        async with asyncio.timeout(seconds):
            while seen != depth:
                found = await opened.declare_queue(queue.name, passive=True)
                seen = found.declaration_result.message_count
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        raise AssertionError(f"{seen} messages are ready in {queue.name}, not {depth}") from None


class Wire:
    """A connection that sends what it is told to, and reads method frames."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    def send(self, *methods: Frame, channel: int = 0) -> None:
        """Send methods."""
        self.writer.writelines(frame.marshal(method, channel) for method in methods)

    async def read(self) -> tuple[int, Any]:
        """Channel and content of the next frame. Raises asyncio.IncompleteReadError at the end."""
        async with asyncio.timeout(20):
            head = await self._reader.readexactly(7)
            rest = await self._reader.readexactly(int.from_bytes(head[3:7], "big") + 1)
        _, number, content = frame.unmarshal(head + rest)
        return number, content

    async def payloads(self) -> AsyncIterator[tuple[int, bytes]]:
        """Type and payload of each frame as it comes, not read any further: for those who take very many."""
        found = bytearray()
        while data := await self._reader.read(2**20):
            found += data
            start = 0
            while len(found) >= start + 8:
                end = start + 7 + int.from_bytes(found[start + 3 : start + 7], "big")
                if len(found) <= end:
                    break
                yield found[start], bytes(found[start + 7 : end])
                start = end + 1
            del found[:start]

    async def rest(self) -> bytes:
        """All that still comes until the broker hangs up, gently or not."""
        found = b""
        with suppress(ConnectionResetError):
            async with asyncio.timeout(20):
                while data := await self._reader.read(65_536):
                    found += data
        return found

    async def open(self, address: Address, virtual_host: str = "/", heartbeat: int = 0) -> Any:
        """Shake hands; the last answer of the broker."""
        self.writer.write(PROTOCOL_HEADER)
        await self.read()
        properties = {"capabilities": {"authentication_failure_close": True}}
        response = f"\0{address.username}\0{address.password}"
        self.send(Connection.StartOk(properties, "PLAIN", response, "en_US"))
        _, answer = await self.read()
        if isinstance(answer, Connection.Tune):
            self.send(Connection.TuneOk(2047, 131_072, heartbeat), Connection.Open(virtual_host))
            _, answer = await self.read()
        return answer

    async def open_channel(self, number: int = 1) -> None:
        """Open a channel."""
        self.send(Channel.Open(), channel=number)
        assert isinstance((await self.read())[1], Channel.OpenOk)


@asynccontextmanager
async def wire(address: Address) -> AsyncIterator[Wire]:
    """A connection on which nothing was said yet."""
    reader, writer = await asyncio.open_connection(address.host, address.port)
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
