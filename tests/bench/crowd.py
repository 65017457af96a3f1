"""Many workers on one broker, each with a queue of its own, all into one table."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

from bench import filling
from bench.group import Found
from bench.measured import Run
from bench.rows import body
from bench.scale import USUAL_BYTES
from bench.workers import CROWD
from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from bench.group import Say
    from bench.scale import Scale
    from bench.servers import Servers
    from penstock.drill.installation import Process

#: Seconds until all have started, and until everything is written.
STARTED, WRITTEN = 600, 600
#: Connections a pool keeps: all workers together have fewer than PostgreSQL allows.
POOL = {"PENSTOCK_POSTGRES__POOL_MIN": "1", "PENSTOCK_POSTGRES__POOL_MAX": "2"}


class Many:
    """All start first; then the queues are filled, and the time runs until the last row is there."""

    name = "many"

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._each = scale.rows // len(CROWD)
        self._fixed = environment

    def run(self, say: Say) -> Found:
        """Messages a second from the first fill to the last row, all workers together; every message must be there."""
        self._servers.empty_table()
        broker, total = self._servers.virtual_host("quorum"), self._each * len(CROWD)
        told = self._servers.environment(self._fixed, **POOL)
        with ExitStack() as running:
            workers = [running.enter_context(Installation(told).start("run", name)) for name in CROWD]
            for worker in workers:
                worker.wait_ready(STARTED)
            at = time.monotonic()
            for place, name in enumerate(CROWD):
                first = place * self._each
                messages = (body(number, USUAL_BYTES) for number in range(first, first + self._each))
                filling.fill(broker, name, messages, arrive=False)
            wait_until(lambda: self._servers.count_rows() >= total, WRITTEN, f"{total} rows")
            run = Run(total, time.monotonic() - at)
            say(self.name, run)
            _check([_ended(worker) for worker in workers], total)
        return Found({self.name: [run]}, figures={"many_workers": len(CROWD)})


def _ended(worker: Process) -> dict[str, int]:
    worker.stop()
    return worker.last_event("worker_stopped")


def _check(counts: list[dict[str, int]], total: int) -> None:
    written, letters = sum(one["written"] for one in counts), sum(one["dead_lettered"] for one in counts)
    if written != total or letters:
        raise RuntimeError(f"{total} messages: {written} written, {letters} dead-lettered")


def many(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Many]:
    """Fifty workers."""
    return [Many(servers, scale, environment)]
