"""The spill: how fast records go to it while the sink is away, and out of it once the sink is back."""

from __future__ import annotations

import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from bench import filling
from bench.commands import run_command
from bench.group import Group
from bench.measured import Run
from bench.meter import peak_megabytes
from bench.rows import bodies
from bench.scale import USUAL_BYTES
from bench.workers import ROWS
from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports

if TYPE_CHECKING:
    from bench.scale import Scale
    from bench.servers import Servers
    from penstock.drill.installation import Process

#: Seconds a run may take, and between two looks: a look costs the worker some milliseconds.
LIMIT = 600
LOOK = 0.1


class Spilling:
    """`spill_append`, then `spill_drain` of what that left."""

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._count = scale.spilled
        self._rounds = scale.other_rounds
        self._fixed = environment
        self._place = tempfile.TemporaryDirectory(prefix="penstock-bench-")  # removed with its last user

    def group(self) -> Group:
        """Both."""
        contenders = {"spill_append": self._append, "spill_drain": self._drain}
        return Group("spill", contenders, self._rounds, (), self._prepare)

    def _prepare(self) -> None:
        self._folder.mkdir(exist_ok=True)
        Installation(self._environment()).drain(ROWS)

    def _append(self) -> Run:
        self._servers.empty_table()
        return self._spilled(self._count)

    def _drain(self) -> Run:
        """The records of `spill_append` are there; the one that stands for the start-up is spilled before."""
        kept = self._folder.with_name("kept")
        self._folder.rename(kept)

        def fill(count: int) -> None:
            if count == 1:
                self._spilled(1)
            else:
                shutil.rmtree(self._folder)
                kept.rename(self._folder)

        run = run_command(lambda _: ("spill", "drain", ROWS), self._count, self._environment(), fill)
        if (rows := self._servers.count_rows()) != self._count:
            raise RuntimeError(f"{self._count} records of the spill came to {rows} rows")
        return run

    def _spilled(self, count: int) -> Run:
        """Have a worker spill so many records, and kill it: at a good end it would publish them back."""
        self._folder.mkdir(exist_ok=True)
        filling.fill(self._broker_url, ROWS, bodies(count, USUAL_BYTES))
        [nowhere] = free_ports(1)
        away = {**self._environment(), "POSTGRES_URL": f"postgresql://nobody@127.0.0.1:{nowhere}/none"}
        with Installation(away).start("run", ROWS) as process:
            told = psutil.Process(process.pid)
            wait_until(lambda: _spilled(process) > 0, LIMIT, "the first is spilled")
            before, at, used = _spilled(process), time.monotonic(), told.cpu_times()
            while _spilled(process) < count:  # raises where the worker has ended
                time.sleep(LOOK)
            seconds, after, peak = time.monotonic() - at, told.cpu_times(), peak_megabytes(process.pid)
        cpu = after.user + after.system - used.user - used.system
        return Run(max(1, count - int(before)), seconds, cpu, peak)

    @property
    def _folder(self) -> Path:
        return Path(self._place.name) / "spill"

    @property
    def _broker_url(self) -> str:
        return self._servers.virtual_host("quorum")

    def _environment(self) -> dict[str, str]:
        return self._servers.environment(self._fixed, PENSTOCK_SPILL__PATH=str(self._folder))


def _spilled(process: Process) -> float:
    return process.metric("penstock_spilled_total")


def spill(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """Into the spill and out of it."""
    return [Spilling(servers, scale, environment).group()]
