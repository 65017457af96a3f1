"""SIGTERM under load: a clean end in time, nothing lost, no event twice."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores

if TYPE_CHECKING:
    from penstock.drill.installation import Process

#: kill, start again, and so on
TIMES = 10
ORDERS = 30_000


async def test_ten_times_under_load(outside_python: str, broker_url: str, postgres_url: str) -> None:
    shop = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url}, outside_python)
    shop.drain("shop-orders")
    orders = [("order", {"number": n, "customer": n % 200, "sequence": n // 200}) for n in range(ORDERS)]
    publishing = asyncio.create_task(broker.publish(broker_url, "shop", orders))
    chance = random.Random(20261122)
    for _ in range(TIMES):
        with shop.start("run", "shop-orders") as worker:
            await asyncio.to_thread(_under_load, worker, chance.randrange(20, 400))
            assert await asyncio.to_thread(worker.stop, 25) == 0, worker.output()
    assert await publishing == ORDERS
    await asyncio.to_thread(shop.drain, "shop-orders")
    [[total, different]] = await stores.ask(postgres_url, "SELECT count(*), count(DISTINCT number) FROM orders")
    assert (total, different) == (ORDERS, ORDERS)
    assert await broker.depth(broker_url, "shop-orders.dlq") == 0
    assert await broker.depth(broker_url, "shop-orders") == 0


def _under_load(worker: Process, messages: int) -> None:
    """Return in the middle of things: once so many messages have come."""
    worker.wait_ready()
    wait_until(lambda: worker.metric("penstock_received_messages_total") >= messages, 60, f"{messages} received")
