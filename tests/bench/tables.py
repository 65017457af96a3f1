"""Rows into PostgreSQL: our worker, what others would run in its place, and the limits of broker and database."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from bench import filling, perf_test
from bench.group import Group
from bench.measured import Ratio, Run
from bench.processes import run_peer, run_worker
from bench.rows import bodies
from bench.scale import LARGE_BYTES, OTHER_BYTES, USUAL_BYTES, slow
from bench.workers import ROWS, SINK
from penstock.drill.installation import Installation

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.scale import Scale
    from bench.servers import Servers

#: Messages of a contender that writes one at a time: fewer say too little.
LEAST = 2_000
#: Java is slow at first: with fewer messages PerfTest would not show what the broker can do.
PERF_TEST = 100_000
RATIOS = (
    Ratio("receive_vs_aio_pika", "receive", "aio_pika"),
    Ratio("receive_cpu_vs_aio_pika", "receive", "aio_pika", "cpu_us"),
    Ratio("table_vs_perftest", "table", "perftest"),
    Ratio("table_vs_one_tx", "table", "one_tx"),
    Ratio("table_vs_faststream", "table", "faststream"),
    Ratio("table_vs_batch_loop", "table", "batch_loop"),
    Ratio("table_vs_postgres_alone", "table", "postgres_alone"),
    Ratio("table_duplicates_vs_first", "table_duplicates", "table"),
    Ratio("cpu_table_vs_aio_pika", "table", "aio_pika", "cpu_us"),
)
#: Of these the other sizes and the other type of queue are reported.
REPORTED = ("aio_pika", "perftest", "receive", "batch_loop", "table")


class Rows:
    """The contenders for bodies of one size on a queue of one type."""

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str], *, size: int, kind: str) -> None:
        self._servers = servers
        self._scale = scale
        self._size = size
        self._kind = kind
        self._fixed = {**environment, "BENCH_BODY_BYTES": str(size)}

    def group(self, name: str, suffix: str, rounds: int) -> Group:
        """All contenders, or where there is a suffix those that are reported."""
        contenders: dict[str, Callable[[], Run]] = {
            "aio_pika": partial(self._peer, "aio_pika_consume"),
            "perftest": self._perf_test,
            "receive": self._receive,
            "one_tx": partial(self._slow_peer, "one_transaction"),
            "faststream": partial(self._slow_peer, "faststream_upsert"),
            "batch_loop": partial(self._peer, "batch_loop"),
            "postgres_alone": self.postgres_alone,
            "table": self.table,
            "table_duplicates": self._duplicates,
        }
        if suffix:
            contenders = {f"{one}{suffix}": contenders[one] for one in REPORTED}
        return Group(name, contenders, rounds, RATIOS if not suffix else (), self.prepare)

    def prepare(self) -> None:
        """The queue as the worker declares it, or where it is to be a classic one as its operator would."""
        if self._kind == "classic":
            filling.declare(self._broker_url, ROWS, "classic")
        Installation(self._environment(nothing=True)).drain(ROWS)

    def _peer(self, module: str) -> Run:
        return self._taken(module, self._scale.rows)

    def _slow_peer(self, module: str) -> Run:
        return self._taken(module, slow(self._scale.rows, LEAST))

    def _taken(self, module: str, count: int) -> Run:
        self._servers.empty_table()
        self._fill(count)
        return run_peer(module, ROWS, count, self._environment())

    def _perf_test(self) -> Run:
        count = max(self._scale.rows, PERF_TEST)
        self._fill(count)
        return perf_test.run(self._broker_url, ROWS, count)

    def postgres_alone(self) -> Run:
        self._servers.empty_table()
        return run_peer("postgres_alone", ROWS, self._scale.rows, self._environment())

    def _receive(self) -> Run:
        self._fill(self._scale.rows)
        return run_worker(ROWS, self._scale.rows, self._environment(nothing=True))

    def table(self) -> Run:
        self._servers.empty_table()
        return self._written()

    def _duplicates(self) -> Run:
        """The same messages once more: comes after `table`, and empties nothing."""
        return self._written()

    def _written(self) -> Run:
        count = self._fill(self._scale.rows)
        run = run_worker(ROWS, count, self._environment())
        if (rows := self._servers.count_rows()) != count:
            raise RuntimeError(f"{count} messages came to {rows} rows")
        return run

    def _fill(self, count: int) -> int:
        return filling.fill(self._broker_url, ROWS, bodies(count, self._size))

    @property
    def _broker_url(self) -> str:
        return self._servers.virtual_host(self._kind)

    def _environment(self, *, nothing: bool = False) -> dict[str, str]:
        more = {"RABBITMQ_URL": self._broker_url, "POSTGRES_URL": self._servers.postgres_url}
        if self._kind == "classic":
            more["PENSTOCK_QUEUE__TOPOLOGY"] = "none"
        return {**self._fixed, **more, **({SINK: "nothing"} if nothing else {})}


def table(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """The bodies and the queue that the ratios speak of."""
    rows = Rows(servers, scale, environment, size=USUAL_BYTES, kind="quorum")
    return [rows.group("table", "", scale.rounds)]


def sizes(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """Other sizes of the bodies, and a classic queue."""
    variants = [*((f"@{size}B", size, "quorum") for size in OTHER_BYTES), ("@classic", USUAL_BYTES, "classic")]
    return [
        Rows(servers, scale, environment, size=size, kind=kind).group(f"sizes {suffix}", suffix, scale.other_rounds)
        for suffix, size, kind in variants
    ]


def large(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """Bodies of a megabyte: what counts is the memory held."""
    few = replace(scale, rows=scale.large)
    rows = Rows(servers, few, environment, size=LARGE_BYTES, kind="quorum")
    return [Group("large", {"large": rows.table}, 1, (), rows.prepare)]
