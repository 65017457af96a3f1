"""Doing two things at a time, and things that must not be left half done."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Coroutine

T = TypeVar("T")


async def beside(side: asyncio.Task[Any], action: Coroutine[Any, Any, T]) -> T:
    """Do `action` to its end and end `side` with it; where `side` fails first, end `action` and raise that."""
    task = asyncio.create_task(action)
    try:
        await asyncio.wait({task, side}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            await side
        return await task
    finally:
        task.cancel()
        side.cancel()
        await asyncio.gather(task, side, return_exceptions=True)


async def whole(action: Coroutine[Any, Any, T]) -> T:
    """Do `action` to its end even if we are cancelled meanwhile: that is raised when it is over."""
    task = asyncio.create_task(action)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait({task})
        raise
