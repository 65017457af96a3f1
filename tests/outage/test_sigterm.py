"""SIGTERM under load: a clean end in time, nothing lost, no event twice."""

from __future__ import annotations

import asyncio
import random
from itertools import count
from typing import TYPE_CHECKING

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.installation import Process

#: kill, start again, and so on
TIMES = 10


async def test_ten_times_under_load(outside_python: str, broker_url: str, postgres_url: str) -> None:
    shop = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url}, outside_python)
    shop.drain("shop-orders")
    over = asyncio.Event()
    publishing = asyncio.create_task(broker.publish(broker_url, "shop", _orders(over), together=1))
    chance = random.Random(20261122)
    for _ in range(TIMES):
        with shop.start("run", "shop-orders") as worker:
            await asyncio.to_thread(_under_load, worker, chance.randrange(20, 400))
            assert await asyncio.to_thread(worker.stop, 25) == 0, worker.output()
    over.set()
    published = await publishing
    await asyncio.to_thread(shop.drain, "shop-orders")
    [[total, different]] = await stores.ask(postgres_url, "SELECT count(*), count(DISTINCT number) FROM orders")
    assert (total, different) == (published, published)
    assert await broker.depth(broker_url, "shop-orders.dlq") == 0
    assert await broker.depth(broker_url, "shop-orders") == 0


def _orders(over: asyncio.Event) -> Iterator[tuple[str, dict[str, int]]]:
    """Until the last worker has ended, so that each of them is ended under load."""
    for number in count():
        if over.is_set():
            return
        yield "order", {"number": number, "customer": number % 200, "sequence": number // 200}


def _under_load(worker: Process, messages: int) -> None:
    """Return in the middle of things: once so many messages have come."""
    worker.wait_ready()
    wait_until(lambda: worker.metric("penstock_received_messages_total") >= messages, 60, f"{messages} received")
