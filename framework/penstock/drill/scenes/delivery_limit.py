"""Drills of a queue that gives up on a message after three returns: an outage must not cost a single one."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

import aio_pika

from penstock.discovery import load_worker
from penstock.drill.definition import Drill
from penstock.drill.scenes.play import away, play, start, stop
from penstock.drill.scenes.sinks import both
from penstock.drill.workload import EXCHANGE
from penstock.settings import Settings
from penstock.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.drill.definition import Tally
    from penstock.drill.scene import Scene
    from penstock.drill.servers.choose import Kind

LIMIT = 3
#: What is on its way inside the broker just as a consumer pauses goes back, and counts (measured: 1 to 6 a pause, once
#: each, on 3.10 and 4.0). An outage that burned attempts would burn those of all that is held: hundreds.
FEW = 20


def outage(scene: Scene, broker: Kind) -> Tally:
    """PostgreSQL is stopped; the queues are the operator's own, which the workers only check."""
    scene.broker, scene.sinks = broker, ("postgres",)
    asyncio.run(declare(scene.broker_url, scene.names))
    scene.environment["PENSTOCK_QUEUE__TOPOLOGY"] = "check"
    seconds = scene.seconds(60)
    tally = play(scene, lambda: away(seconds, stop, start, *both(scene)), over=seconds)
    if tally.attempts_burned > FEW:
        tally.failures.append(f"{tally.attempts_burned} deliveries were made again")
    return tally


async def declare(url: str, queues: Sequence[str]) -> None:
    """Declare the queues, bound to all that drills publish, and beside each what its worker checks for."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        exchange = await channel.declare_exchange(EXCHANGE, aio_pika.ExchangeType.TOPIC, durable=True)
        for name in queues:
            worker = load_worker(name)
            for other in topology_of(worker, Settings()).others:
                await channel.declare_queue(other.name, durable=True, arguments=dict(other.arguments))
            arguments: dict[str, str | int] = {"x-queue-type": "quorum", "x-delivery-limit": LIMIT}
            arguments |= {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": worker.dead_letter_queue}
            queue = await channel.declare_queue(name, durable=True, arguments=dict(arguments))
            await queue.bind(exchange, "#")


DRILLS = (
    Drill(
        "delivery-limit-3.10",
        "PostgreSQL stopped for 60 s, queues with x-delivery-limit 3, RabbitMQ as installed (3.10 on Debian 12)",
        partial(outage, broker="rabbitmq"),
    ),
    Drill(
        "delivery-limit-4.0",
        "PostgreSQL stopped for 60 s, queues with x-delivery-limit 3, RabbitMQ 4.0",
        partial(outage, broker="rabbitmq4"),
        quick=False,
    ),
)
