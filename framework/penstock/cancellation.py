"""Telling our own cancellation from one that a client library lets slip out."""

from __future__ import annotations

import asyncio


def is_ours() -> bool:
    """Whether somebody has asked for the running task to be cancelled.

    If not, a CancelledError seen here came from within a library, whose channel or connection was lost, and
    means no more than that.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
