"""Replicas of one worker on one queue, into a sink that has each write wait: what a second one makes of that time."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from bench import filling
from bench.group import Found, Group
from bench.measured import Ratio, Run, middle
from bench.rows import bodies
from bench.scale import USUAL_BYTES
from bench.workers import ROWS
from penstock.drill.installation import Installation
from penstock.drill.proxy import Proxy
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from bench.group import Say
    from bench.scale import Scale
    from bench.servers import Servers
    from penstock.drill.installation import Process

#: Seconds that everything takes between worker and database, each way: as far as a database in another city.
EACH_WAY = 0.02
#: Seconds until all have started, and until everything is written.
STARTED, WRITTEN = 120, 600
#: A replica's connections, so that two have fewer than any PostgreSQL allows.
POOL = {"PENSTOCK_POSTGRES__POOL_MIN": "1", "PENSTOCK_POSTGRES__POOL_MAX": "3"}


@dataclass(frozen=True)
class Drained:
    """What replicas came to that have emptied a queue. `waiting`: the share of their time in writes, 0 to 1."""

    run: Run
    waiting: float


@contextmanager
def replicas(amount: int, environment: Mapping[str, str]) -> Iterator[list[Process]]:
    """So many replicas of the worker, all ready."""
    with ExitStack() as running:
        found = [running.enter_context(Installation({**environment, **POOL}).start("run", ROWS)) for _ in range(amount)]
        for process in found:
            process.wait_ready(STARTED)
        yield found


def drained(amount: int, count: int, environment: Mapping[str, str], written: Callable[[], int]) -> Drained:
    """Have replicas empty a queue of so many messages; `written` tells how many rows there are by now.

    They are ready before the first message comes. Raises RuntimeError unless every message was written once.
    """
    with replicas(amount, environment) as processes:
        before = sum(map(_in_writes, processes))
        at = time.monotonic()
        filling.fill(environment["RABBITMQ_URL"], ROWS, bodies(count, USUAL_BYTES), arrive=False)
        wait_until(lambda: written() >= count, WRITTEN, f"{count} rows")
        seconds = time.monotonic() - at
        waiting = (sum(map(_in_writes, processes)) - before) / (seconds * amount)
        check([ended(process) for process in processes], count)
    return Drained(Run(count, seconds), waiting)


def ended(process: Process) -> dict[str, int]:
    """Stop a worker as an operator does; the counts that it ends with."""
    if code := process.stop():
        raise RuntimeError(f"the worker ended with {code}: {process.output()[-2000:]}")
    return process.last_event("worker_stopped")


def check(counts: list[dict[str, int]], count: int) -> None:
    """Raise RuntimeError unless so many were written, and none was refused."""
    written, letters = (sum(one[key] for one in counts) for key in ("written", "dead_lettered"))
    if written != count or letters:
        raise RuntimeError(f"{count} messages: {written} written, {letters} dead-lettered")


def _in_writes(process: Process) -> float:
    return process.metric("penstock_sink_write_seconds_sum")


class Replicas:
    """One and two, in turn."""

    name = "replicas"

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._count = scale.rows
        self._rounds = scale.other_rounds
        self._fixed = environment
        self._waiting: dict[int, list[float]] = {1: [], 2: []}

    def run(self, say: Say) -> Found:
        """Their rates, and the share of its time that each waits for a write: that is what a further one can use."""
        with Proxy(self._servers.postgres.address) as proxy, proxy.delay(EACH_WAY):
            contenders = {
                "one_replica": partial(self._drained, 1, proxy),
                "two_replicas": partial(self._drained, 2, proxy),
            }
            ratio = Ratio("two_replicas_vs_one", "two_replicas", "one_replica")
            found = Group(self.name, contenders, self._rounds, (ratio,)).run(say)
        waiting = {f"waiting_of_{amount}": sum(shares) / len(shares) for amount, shares in self._waiting.items()}
        return Found(found.runs, found.ratios, {"replicas_delay_ms": 1000 * EACH_WAY, **waiting})

    def _drained(self, amount: int, proxy: Proxy) -> Run:
        self._servers.empty_table()
        url = proxy.url(self._servers.postgres_url)
        environment = self._servers.environment(self._fixed, POSTGRES_URL=url)
        found = drained(amount, self._count, environment, self._rows)
        self._waiting[amount].append(found.waiting)
        return found.run

    def _rows(self) -> int:
        return self._servers.count_rows()


def limit_of(one: Drained, two: Drained) -> str:
    """Why two are as fast as they are, in a line."""
    rates = [
        f"{amount}: {middle([of.run], 'rate') or 0:,.0f}/s, {of.waiting:.0%} of its time in writes of the sink"
        for amount, of in (("one replica", one), ("two", two))
    ]
    return f"{two.run.rate / one.run.rate:.2f} times as fast. {'; '.join(rates)}"


def group(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Replicas]:
    """One replica and two."""
    return [Replicas(servers, scale, environment)]
