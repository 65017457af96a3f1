"""What a worker holds while its database is away for minutes and its queue is full."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import psutil

from bench import filling
from bench.group import Found
from bench.meter import peak_megabytes
from bench.processes import settled
from bench.rows import bodies
from bench.scale import USUAL_BYTES
from bench.workers import ROWS
from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from bench.group import Say
    from bench.scale import Scale
    from bench.servers import Servers
    from penstock.drill.installation import Process

#: Seconds until the worker has written everything, once the database is back: it looks once a minute.
BACK = 300


class OutageMemory:
    """One outage, of SECONDS seconds by environment; the worker writes before, and all that is left after it."""

    name = "outage_memory"

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._rows = scale.rows
        self._seconds = float(os.environ.get("SECONDS") or scale.outage_seconds)
        self._fixed = environment

    def run(self, say: Say) -> Found:  # noqa: ARG002 - nothing of this is a rate
        """Resident memory in MB when the outage begins, at its end, and at its peak."""
        self._servers.empty_table()
        broker = self._servers.virtual_host("quorum")
        told = self._servers.environment(self._fixed)
        Installation(told).drain(ROWS)
        filling.fill(broker, ROWS, bodies(self._rows, USUAL_BYTES))
        with Installation(told).start("run", ROWS) as process:
            wait_until(lambda: settled(process) > 0, BACK, "the first are settled")
            figures = self._outage(process)
            wait_until(lambda: settled(process) >= self._rows, BACK, "all is settled")
            figures["outage_peak_mb"] = peak_megabytes(process.pid)
            process.stop()
        if (rows := self._servers.count_rows()) != self._rows:
            raise RuntimeError(f"{self._rows} messages came to {rows} rows")
        return Found(figures=figures)

    def _outage(self, process: Process) -> dict[str, float]:
        self._servers.postgres.stop()
        process.wait_for("paused")
        begin = _resident(process)
        time.sleep(self._seconds)
        end = _resident(process)
        self._servers.postgres.start()
        return {"outage_seconds": self._seconds, "outage_begin_mb": begin, "outage_end_mb": end}


def _resident(process: Process) -> float:
    return float(psutil.Process(process.pid).memory_info().rss) / 2**20


def outage_memory(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[OutageMemory]:
    """Memory in an outage."""
    return [OutageMemory(servers, scale, environment)]
