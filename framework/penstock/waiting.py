"""Doing several things at once, and waiting for one of them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Coroutine

    from penstock.clock import Clock


async def wait(event: asyncio.Event) -> None:
    """Wait for an event."""
    await event.wait()


async def until(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Wait for an event, at most so many seconds."""
    await first(wait(event), clock.sleep(seconds))


async def first(*actions: Coroutine[Any, Any, None]) -> None:
    """Do several things until one has come to its end; the others are cancelled. Raises what that one raised."""
    tasks = [asyncio.create_task(one) for one in actions]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()


@asynccontextmanager
async def beside(action: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Have something done beside the block, and end it with the block."""
    task = asyncio.create_task(action, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def unless_ended(other: asyncio.Task[None], action: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, unless the other task ends before: what dies on the side must not go unseen."""
    task = asyncio.create_task(action)
    try:
        await asyncio.wait({task, other}, return_when=asyncio.FIRST_COMPLETED)
        await (task if task.done() else other)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
