"""The event loop of what carries messages: uvloop's where that is installed (`penstock[fast]`), else asyncio's own."""

from __future__ import annotations

import asyncio
import gc
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

#: Objects made and not yet gone again, after which the youngest are looked through for garbage; Python's own is 700.
GARBAGE = 10_000


def run(main: Coroutine[Any, Any, int]) -> int:
    """As asyncio.run, on the faster loop where there is one. For processes that are ours alone: sets the collector."""
    # What was imported stays for good: looking through it for garbage again and again costs more than a batch. So does
    # looking through batches, most of which are gone by themselves before there are so many objects.
    gc.freeze()
    gc.set_threshold(GARBAGE)
    try:
        factory = import_module("uvloop").new_event_loop
    except ImportError:  # not installed, or not for this system
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
