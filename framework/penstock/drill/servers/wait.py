"""Waiting for a condition outside of this process."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds between two looks.
INTERVAL = 0.02


def wait_until(condition: Callable[[], bool], seconds: float, what: str) -> None:
    """Return once the condition holds. Raises TimeoutError after `seconds`, saying `what` was awaited."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            message = f"not within {seconds} s: {what}"
            raise TimeoutError(message)
        time.sleep(INTERVAL)
