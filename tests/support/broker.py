"""Messages and dead letters, through a client of the test's own."""

from __future__ import annotations

import asyncio
import json
from contextlib import asynccontextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any

import aio_pika

from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

#: Messages that are sent before their confirms are awaited: one by one, each would wait for the disk.
TOGETHER = 100
#: A kill -9 this soon after a quorum queue was declared can lose the queue itself, in seconds (measured).
YOUNG = 3.5


@asynccontextmanager
async def channel(url: str) -> AsyncIterator[AbstractChannel]:
    """A channel with confirms; a message that no queue takes raises."""
    async with await aio_pika.connect(url) as connection, connection.channel(on_return_raises=True) as opened:
        yield opened


async def publish(
    url: str,
    exchange: str,
    messages: Iterable[tuple[str, Mapping[str, Any] | bytes]],
    *,
    together: int = TOGETHER,
    **headers: Any,
) -> int:
    """Publish (routing key, body) pairs in order, mandatory and confirmed; a mapping goes as JSON. How many.

    With one of them `together`, each waits for the confirm of the one before: a slow load that lasts.
    """
    count = 0
    waiting = iter(messages)
    async with channel(url) as opened:
        target = await opened.get_exchange(exchange) if exchange else opened.default_exchange
        while some := list(islice(waiting, together)):
            # Tasks begin in the order in which they were made, and each writes before it waits for its confirm.
            await asyncio.gather(*(target.publish(_message(body, headers), key) for key, body in some))
            count += len(some)
    return count


def _message(body: Mapping[str, Any] | bytes, headers: dict[str, Any]) -> aio_pika.Message:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return aio_pika.Message(raw, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, headers=headers)


async def take_all(url: str, queue: str) -> list[AbstractIncomingMessage]:
    """Every message that is ready in a queue, removed from it."""
    found: list[AbstractIncomingMessage] = []
    async with channel(url) as opened:
        source = await opened.get_queue(queue)
        while (message := await source.get(fail=False)) is not None:
            await message.ack()
            found.append(message)
    return found


async def take_and_leave(url: str, queue: str, count: int) -> None:
    """Consume so many messages and close the channel: they go back in order, each returned once more."""
    taken: list[AbstractIncomingMessage] = []

    async def take(message: AbstractIncomingMessage) -> None:
        taken.append(message)

    async with channel(url) as opened:
        source = await opened.get_queue(queue)
        await source.consume(take)
        await until(lambda: len(taken) == count, f"{count} deliveries", 20)


async def depth(url: str, queue: str) -> int:
    """How many messages are ready in a queue."""
    async with channel(url) as opened:
        found = await opened.get_queue(queue)
        return int(found.declaration_result.message_count or 0)


async def declare_queue(url: str, queue: str, exchange: str, arguments: Mapping[str, str | int]) -> None:
    """A durable queue bound to all of a topic exchange."""
    async with channel(url) as opened:
        source = await opened.declare_exchange(exchange, aio_pika.ExchangeType.TOPIC, durable=True)
        target = await opened.declare_queue(queue, durable=True, arguments=dict(arguments))
        await target.bind(source, "#")
