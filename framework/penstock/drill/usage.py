"""What workers use while they wait for a server: time of the processor, and connections tried."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


class Usage:
    """Measures some processes from now on. `tried` counts the connections that all of them together have tried."""

    def __init__(self, pids: Sequence[int], tried: Callable[[], int]) -> None:
        self._processes = [psutil.Process(pid) for pid in pids]
        self._tried = tried
        self._tried_before = tried()
        self._cpu_before = [_cpu(process) for process in self._processes]
        self._start = time.monotonic()

    def cpu_percent(self) -> float:
        """The share of one core that the busiest of them has used so far, in percent."""
        pairs = zip(self._processes, self._cpu_before, strict=True)
        return 100 * max(_cpu(process) - before for process, before in pairs) / self._seconds()

    def tries_per_second(self) -> float:
        """Connections tried so far, a second and process."""
        return (self._tried() - self._tried_before) / len(self._processes) / self._seconds()

    def _seconds(self) -> float:
        return time.monotonic() - self._start


def _cpu(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
