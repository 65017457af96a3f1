"""How a peer is started: `python -m bench.peers.NAME QUEUE MESSAGES`, the servers' addresses by environment."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

import aio_pika

from bench.meter import Meter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from aio_pika.abc import AbstractQueue

#: What Penstock's own default is, for those peers that take many messages at a time.
PREFETCH = 1000
#: The same of a batch.
BATCH = 500


@dataclass(frozen=True)
class Peer:
    """What a peer is told: the queue, how many messages are in it, and whose meter to run."""

    queue: str
    messages: int
    meter: Meter = field(default_factory=Meter)

    @property
    def broker_url(self) -> str:
        return os.environ["RABBITMQ_URL"]

    @property
    def postgres_url(self) -> str:
        return os.environ["POSTGRES_URL"]

    @property
    def neo4j_url(self) -> str:
        return os.environ["NEO4J_URL"]

    @asynccontextmanager
    async def source(self, prefetch: int) -> AsyncIterator[AbstractQueue]:
        """The queue, on a robust connection, as aio-pika's own examples have it."""
        connection = await aio_pika.connect_robust(self.broker_url)
        async with connection:
            channel = await connection.channel()
            await channel.set_qos(prefetch_count=prefetch)
            yield await channel.get_queue(self.queue)


def run(main: Callable[[Peer], Awaitable[None]]) -> None:
    """Run a peer to its end, and print what was measured."""
    peer = Peer(sys.argv[1], int(sys.argv[2]))

    async def whole() -> None:
        await main(peer)

    asyncio.run(whole())
    peer.meter.tell()


def statement(name: str) -> str:
    """The text of a .sql or .cypher file of this folder."""
    return (files("bench.peers") / name).read_text(encoding="utf-8")
