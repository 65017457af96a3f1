"""Connections are lost again and again under load: the messages arrive in the order in which they were published."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import TYPE_CHECKING

from pydantic import SecretStr

from penstock import Publisher
from penstock.drill.proxy import Proxy
from penstock.settings import OutboxSettings, RabbitMQ, RetrySettings, Settings
from support import broker

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.drill.servers import Server

COUNT = 2000
CALLERS = 50
#: Seconds that publishing takes at least, and between two resets.
LASTS = 4.0
EVERY = 0.4


async def publish(publisher: Publisher) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    turns, numbers = iter(range(COUNT)), iter(range(COUNT))

    async def go_on() -> None:
        for turn in turns:
            await asyncio.sleep(max(0.0, started + LASTS * turn / COUNT - loop.time()))
            # Numbered as it is begun: on a loaded machine a later turn may wake up first.
            number = next(numbers)
            await publisher.publish("resets", "any", b"%d" % number, key=f"{number}")

    await asyncio.gather(*(go_on() for _ in range(CALLERS)))


async def test_order_through_resets(server: Server, tmp_path: Path) -> None:
    await broker.declare_queue(server.url, "resets", "resets", {"x-queue-type": "quorum"})
    with Proxy(server.address) as proxy:
        settings = Settings(
            rabbitmq=RabbitMQ(url=SecretStr(proxy.url(server.url))),
            outbox=OutboxSettings(path=str(tmp_path / "outbox.sqlite")),
            retry=RetrySettings(min=0.1, max=0.2),
        )
        async with Publisher(settings) as publisher:
            with proxy.resetting(every=EVERY):
                await publish(publisher)
            async with asyncio.timeout(60):
                await publisher.flush()
        assert proxy.resets >= 2
    arrived = [int(message.body) for message in await broker.take_all(server.url, "resets")]
    # What may have arrived is sent again: only the first of each counts.
    first = list(dict.fromkeys(arrived))
    assert len(first) == COUNT
    behind = [(before, after) for before, after in pairwise(first) if after < before]
    assert behind == []
