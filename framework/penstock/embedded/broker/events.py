"""The broker's log: one JSON object a line on standard error. No message and no password is ever among the values.

structlog would double the time the broker takes to start.
"""

from __future__ import annotations

import contextlib
import json
import sys
from datetime import UTC, datetime
from typing import Literal


def complain(text: str) -> None:
    """Tell people in one plain line why the broker ends."""
    with contextlib.suppress(OSError):
        sys.stderr.write(f"penstock broker: {text}\n")
        sys.stderr.flush()


def say(event: str, *, level: Literal["info", "warning", "error"] = "info", **values: str | float | None) -> None:
    """Log an event; what cannot be logged is lost and harms nobody."""
    line = {"timestamp": datetime.now(UTC).isoformat(), "level": level, "event": event, **values}
    # The log may be on the disk that is full.
    with contextlib.suppress(OSError):
        sys.stderr.write(f"{json.dumps(line)}\n")
        sys.stderr.flush()
