"""How many messages are ready in queues, asked over AMQP."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from penstock.broker import close, connect, open_channel, request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable

    from penstock.settings import RabbitMQ

    #: Of the names of queues, how many messages are ready in each. Raises LinkError.
    Depths = Callable[[Iterable[str]], Awaitable[dict[str, int]]]


@asynccontextmanager
async def asking_queues(settings: RabbitMQ) -> AsyncIterator[Depths]:
    """Give a function that asks for the depths of queues over a connection of its own. Raises LinkError."""
    connection = await connect(settings, "demo")

    async def depths(names: Iterable[str]) -> dict[str, int]:
        channel = await open_channel(connection, confirms=False)
        try:
            async with request("cannot look at the queues"):
                answers = {name: await channel.queue_declare(name, passive=True) for name in names}
        finally:
            await close(channel)
        return {name: answer.message_count or 0 for name, answer in answers.items()}

    try:
        yield depths
    finally:
        await close(connection)
