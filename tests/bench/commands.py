"""Commands of ours that come to an end by themselves, without what it takes to start them."""

from __future__ import annotations

import resource
import time
from typing import TYPE_CHECKING

from bench.measured import Run
from penstock.drill.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: Seconds a command may take.
LIMIT = 1800


def timed(words: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Run a command that must succeed: its seconds, and those of the processor."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    at = time.monotonic()
    Installation(environment).done(*words, seconds=LIMIT)
    seconds = time.monotonic() - at
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def run_command(
    words: Callable[[int], Sequence[str]], messages: int, environment: Mapping[str, str], fill: Callable[[int], object]
) -> Run:
    """Run a command for all the messages and, before, for one: the difference is what the others took.

    `words`: of a number of messages, the command; `fill` puts so many where the command takes them from.
    """
    fill(1)
    start_seconds, start_cpu = timed(words(1), environment)
    fill(messages)
    seconds, cpu = timed(words(messages), environment)
    return Run(messages - 1, seconds - start_seconds, cpu - start_cpu)
