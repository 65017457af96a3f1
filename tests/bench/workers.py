"""The workers that are measured: declared as anybody's are, and found by `penstock run` through an entry point."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

from bench.rows import TABLE, Row
from bench.watched import watched
from penstock.outcome import WRITTEN
from penstock.sink import Endpoint
from penstock.stores import postgres
from penstock.worker import Worker
from penstock_workers.discogs import graph as discogs
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.outcome import Outcome
    from penstock.record import Batch
    from penstock.settings import Settings
    from penstock.sink import Sink

ROWS = "bench-rows"
GRAPH = "bench-graph"
#: Workers that do the same as `bench-rows`, each with a queue of its own.
CROWD = tuple(f"bench-crowd-{number:02}" for number in range(50))
#: The sink of the worker `bench-rows` is chosen by environment, so that all that is measured takes from one queue.
SINK = "BENCH_SINK"


class NoSink:
    """Does nothing: what is left is the runtime."""

    async def open(self, endpoint: Endpoint) -> None:
        pass

    async def prepare(self) -> None:
        pass

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        return [WRITTEN] * len(batch.records)

    async def ping(self) -> None:
        pass

    async def close(self) -> None:
        pass


def no_sink(_worker: Worker, _settings: Settings) -> Sink:
    return NoSink()


def endpoints(settings: Settings) -> Sequence[Endpoint]:
    return [Endpoint("nowhere", "")] if _does_nothing() else postgres.endpoints(settings)


def _does_nothing() -> bool:
    return os.environ.get(SINK) == "nothing"


def mapping(row: Row) -> TableRow:
    return TableRow("bench_rows", row.model_dump())


rows = Worker(
    name=ROWS,
    description="Made-up records as rows in PostgreSQL",
    model=Row,
    natural_key=lambda row: row.id,
    mapping=mapping,
    sink=watched(no_sink if _does_nothing() else table_sink(TABLE)),
    endpoints=endpoints,
)
graph = replace(
    discogs.worker,
    name=GRAPH,
    sink=watched(discogs.worker.sink),
    bindings=(),
    port=0,
)


def __getattr__(name: str) -> Worker:
    """One of the crowd, by its name with underscores, as an entry point has it."""
    if (found := name.replace("_", "-")) not in CROWD:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return replace(rows, name=found)
