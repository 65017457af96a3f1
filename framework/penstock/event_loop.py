"""The event loop a worker runs on: uvloop's where that is installed (`penstock[fast]`), else asyncio's own."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine


def run(main: Coroutine[Any, Any, int]) -> int:
    """As asyncio.run, on the faster loop where there is one."""
    try:
        factory = import_module("uvloop").new_event_loop
    except ImportError:  # not installed, or not for this system
        factory = None
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)
