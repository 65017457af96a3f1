"""A program that publishes until it is done or killed: `python -m penstock.drill.publish FIRST LAST SECONDS`.

The messages of the numbers from FIRST to before LAST, in order, evenly spread over SECONDS; settings by environment.
Standard output gets a line for each number whose publish has returned, and not before: from then on it is safe.
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import TYPE_CHECKING

from penstock import Publisher
from penstock.drill.workload import EXCHANGE, ROUTING_KEY, body, message_id

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Publishes under way at one time.
CALLERS = 50


async def main(numbers: range, seconds: float) -> None:
    """Publish them, and wait until the broker has them all."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    waiting = iter(numbers)

    async def go_on(publisher: Publisher, waiting: Iterator[int]) -> None:
        for number in waiting:
            due = start + seconds * (number - numbers.start) / len(numbers)
            if (ahead := due - loop.time()) > 0:
                await asyncio.sleep(ahead)
            await publisher.publish(EXCHANGE, ROUTING_KEY, body(number), key=message_id(number))
            os.write(1, b"%d\n" % number)

    async with Publisher() as publisher:
        await asyncio.gather(*(go_on(publisher, waiting) for _ in range(CALLERS)))
        await publisher.flush()


if __name__ == "__main__":
    asyncio.run(main(range(int(sys.argv[1]), int(sys.argv[2])), float(sys.argv[3])))
