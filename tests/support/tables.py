"""Table sinks on a database of the test's own."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from penstock.settings import Postgres, RetrySettings, Settings
from penstock.sink import Endpoint
from penstock.testing import make_record
from penstock.worker import Mode, Worker
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import TableSink
from penstock_workers.table.table import Table

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.record import Record

ARTISTS = Table("artists", {"data_id": "text", "data": "jsonb"}, key=("data_id",))
LABELS = Table("labels", {"data_id": "text", "data": "jsonb"}, key=("data_id",))
PLAYS = Table("plays", {"data": "jsonb"})

Connection = Any


@dataclass
class Database:
    """A database of the test's own: sinks for it, and a look at it past them."""

    url: str
    look: Connection

    @asynccontextmanager
    async def open(self, *tables: Table, mode: Mode = "upsert", **postgres: Any) -> AsyncIterator[TableSink]:
        sink = self.sink(*tables, mode=mode, **postgres)
        await sink.open(Endpoint("test", self.url))
        try:
            await sink.prepare()
            yield sink
        finally:
            await sink.close()

    def sink(self, *tables: Table, mode: Mode = "upsert", write_timeout: float = 30, **postgres: Any) -> TableSink:
        worker = Worker(
            name="test-worker",
            model=dict,
            natural_key=str,
            mapping=dict,
            sink=lambda *_: pytest.fail("made below"),
            endpoints=lambda _: [],
            mode=mode,
        )
        limits = {"pool_min": 1, "pool_max": 2, "connect_timeout": 3, **postgres}
        settings = Settings(postgres=Postgres(**limits), retry=RetrySettings(write_timeout=write_timeout))
        return TableSink(tables, worker, settings)


def artist(data_id: str, data: str = "{}", version: int | None = None) -> Record:
    return make_record(TableRow("artists", {"data_id": data_id, "data": data}), data_id, version=version)


def label(data_id: str, data: str = "{}") -> Record:
    return make_record(TableRow("labels", {"data_id": data_id, "data": data}), ("label", data_id))
