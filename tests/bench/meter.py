"""What a measured process tells of itself: time, processor and memory, from its first delivery to its last ack."""

from __future__ import annotations

import json
import resource
import time
from pathlib import Path

import psutil


def cpu_seconds() -> float:
    """Seconds of the processor this process has used, in user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def machine_seconds() -> float:
    """Seconds that the processors of the machine were at work, for whomever, since it started."""
    used = psutil.cpu_times()
    return float(used.user + used.system + used.nice + used.irq + used.softirq)


def peak_megabytes(pid: int | str = "self") -> float:
    """The most memory a process has held. Not ru_maxrss, which a child inherits from who started it."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines()
    [peak] = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    return int(peak) / 1024


class Meter:
    """Measures this process between `begin` and `end`; what came before, imports and connecting, is left out."""

    def __init__(self) -> None:
        self._at = self._cpu = self._machine = 0.0
        self._seconds = self._cpu_seconds = self._machine_seconds = 0.0
        self._line = ""

    def begin(self) -> None:
        """The first delivery is here, or after `pause` the measuring goes on."""
        self._at, self._cpu = time.monotonic() - self._seconds, cpu_seconds() - self._cpu_seconds
        self._machine = machine_seconds() - self._machine_seconds

    def pause(self) -> None:
        """Leave out what comes next, until `begin`."""
        self._seconds, self._cpu_seconds = time.monotonic() - self._at, cpu_seconds() - self._cpu
        self._machine_seconds = machine_seconds() - self._machine

    def end(self, messages: int) -> None:
        """The last message is committed and its ack sent."""
        self.pause()
        told = {"messages": messages, "seconds": self._seconds, "cpu_seconds": self._cpu_seconds}
        told |= {"rss_mb": peak_megabytes(), "machine_seconds": self._machine_seconds}
        self._line = json.dumps(told)

    def tell(self) -> None:
        """Print what was measured, as the one line of standard output."""
        if not self._line:
            raise SystemExit("ended before the last message")
        print(self._line)  # noqa: T201 - it is what this process is for
