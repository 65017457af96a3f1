"""Waiting, in the event loop, for what tells nobody."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks.
INTERVAL = 0.01


async def until(condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
    """Return once the condition holds. Fails after `seconds`, saying `what` was awaited."""
    try:
        async with asyncio.timeout(seconds):
            while not condition():  # noqa: ASYNC110 links and processes tell nobody
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        message = f"not within {seconds} s: {what}"
        raise AssertionError(message) from None
