"""What the broker has left at the end of a drill, and what it had to deliver again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import aio_pika

from penstock.drill.servers.management import Management
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.drill.servers import Address

#: Management counts come every second from servers that drills start; the same for so long, they are the last.
STEADY = 1.5


def ready(url: str, queues: Sequence[str]) -> int:
    """How many messages are ready in these queues, all together; nobody may consume from them any more."""
    return asyncio.run(_ready(url, queues))


async def _ready(url: str, queues: Sequence[str]) -> int:
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        found = [await channel.declare_queue(queue, passive=True) for queue in queues]
        return sum(queue.declaration_result.message_count or 0 for queue in found)


def redelivered(address: Address, virtual_host: str, queues: Sequence[str]) -> int:
    """How many deliveries of these queues the broker has marked as not the first, since it was last started.

    An attempt is burned when a message was delivered, came back and is delivered again: that is what brings it
    nearer to its delivery limit. A worker or a broker that dies makes the broker deliver again what was under way,
    once. A pause makes it deliver again, once, what was on its way within the broker at that moment (x-delivery-count
    was 1 on those, on 3.10 and 4.0). Everything else must not.
    """
    with Management(address) as management:
        seen: list[tuple[float, int]] = []

        def steady() -> bool:
            stats = [management.queue(virtual_host, queue).get("message_stats", {}) for queue in queues]
            count = sum(int(one.get("redeliver", 0)) for one in stats)
            # One that has grown begins anew.
            seen[:] = [*(one for one in seen if one[1] == count), (time.monotonic(), count)]
            return seen[-1][0] - seen[0][0] >= STEADY

        wait_until(steady, 30, "the broker's count of deliveries is steady")
        return seen[-1][1]
