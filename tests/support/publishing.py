"""A program that publishes until it is killed: `python publishing.py FIRST LAST`, settings by environment.

Each number is a message of its own. Standard output gets a line for each whose publish has returned, not before.
"""

from __future__ import annotations

import asyncio
import os
import sys

from penstock import Publisher

#: Publishes under way at one time.
CALLERS = 50


async def main(first: int, last: int) -> None:
    numbers = iter(range(first, last))

    async def go_on(publisher: Publisher) -> None:
        for number in numbers:
            await publisher.publish("shop", "order", b"%d" % number, key=f"order-{number}")
            os.write(1, b"%d\n" % number)

    async with Publisher() as publisher:
        await asyncio.gather(*(go_on(publisher) for _ in range(CALLERS)))
        await publisher.flush()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
