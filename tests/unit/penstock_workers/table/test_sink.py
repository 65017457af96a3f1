"""What the table sink refuses before it meets a server."""

from __future__ import annotations

import pytest

from penstock.errors import SinkUnavailable, UsageError
from penstock.settings import Settings
from penstock.testing import make_batch, make_record
from penstock.worker import Mode, Worker
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import PREPARE_LOCK, TableSink, table_sink
from penstock_workers.table.table import Table

STATES = Table("states", {"id": "text"}, key=("id",))
EVENTS = Table("events", {"id": "text"})


def make_worker(mode: Mode, *tables: Table) -> Worker:
    return Worker(
        name="tests",
        model=dict,
        natural_key=str,
        mapping=dict,
        sink=table_sink(*tables),
        endpoints=lambda _: [],
        mode=mode,
    )


def make_sink(mode: Mode, *tables: Table) -> TableSink:
    worker = make_worker(mode, *tables)
    sink = worker.sink(worker, Settings())
    assert isinstance(sink, TableSink)
    return sink


@pytest.mark.parametrize(("mode", "table"), [("upsert", STATES), ("update", STATES), ("append", EVENTS)])
def test_each_mode_has_its_kind_of_table(mode: Mode, table: Table) -> None:
    make_sink(mode, table)


@pytest.mark.parametrize(
    ("mode", "table", "text"),
    [
        ("upsert", EVENTS, "mode upsert, table 'events' needs a key"),
        ("update", EVENTS, "mode update, table 'events' needs a key"),
        ("append", STATES, "mode append, table 'states' takes no key"),
    ],
)
def test_a_table_of_the_other_kind_is_refused(mode: Mode, table: Table, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make_sink(mode, table)


def test_tables_are_declared_and_each_once() -> None:
    with pytest.raises(UsageError, match="one or more tables"):
        make_sink("upsert")
    with pytest.raises(UsageError, match="each once"):
        make_sink("upsert", STATES, Table("states", {"id": "text"}, key=("id",)))


async def test_a_sink_that_is_not_open_is_unavailable() -> None:
    sink = make_sink("upsert", STATES)
    record = make_record(TableRow("states", {"id": "1"}), "1")
    for call in (sink.prepare(), sink.ping(), sink.write(make_batch(record))):
        with pytest.raises(SinkUnavailable, match="not open"):
            await call
    await sink.close()


def test_the_number_of_the_lock_fits_postgresql() -> None:
    assert 0 < PREPARE_LOCK < 2**63
