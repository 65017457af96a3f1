"""A program that publishes until it is done or killed: `python -m penstock.drill.publish FIRST LAST SECONDS`.

The messages of the numbers from FIRST to before LAST, in order, evenly spread over SECONDS; settings by environment.
Standard output gets a line for each number whose publish has returned, and not before: from then on it is safe.
"""

from __future__ import annotations

import asyncio
import os
import sys

from penstock import Publisher
from penstock.drill.workload import EXCHANGE, ROUTING_KEY, body, message_id

#: Publishes under way at one time.
CALLERS = 50


async def main(numbers: range, seconds: float) -> None:
    """Publish them, and wait until the broker has them all."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    waiting = iter(numbers)
    # Whoever waits for the time of a number has the others wait behind it: it is published before theirs.
    turn = asyncio.Lock()

    async def due() -> int | None:
        async with turn:
            number = next(waiting, None)
            if number is not None:
                ahead = start + seconds * (number - numbers.start) / len(numbers) - loop.time()
                await asyncio.sleep(max(0.0, ahead))
            return number

    async def go_on(publisher: Publisher) -> None:
        while (number := await due()) is not None:
            await publisher.publish(EXCHANGE, ROUTING_KEY, body(number), key=message_id(number))
            os.write(1, b"%d\n" % number)

    async with Publisher() as publisher:
        await asyncio.gather(*(go_on(publisher) for _ in range(CALLERS)))
        await publisher.flush()


if __name__ == "__main__":
    asyncio.run(main(range(int(sys.argv[1]), int(sys.argv[2])), float(sys.argv[3])))
