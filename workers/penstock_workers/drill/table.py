"""The worker `drill-table`: each key as a row, its newest version stands."""

from __future__ import annotations

from penstock.stores.postgres import endpoints
from penstock.worker import Worker
from penstock_workers.drill.declaration import BINDINGS, Change
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table


def mapping(change: Change) -> TableRow:
    """The key, and the message that brought its version; the sink keeps the version itself."""
    return TableRow("drill_table", {"key": change.key, "id": change.id})


worker = Worker(
    name="drill-table",
    description="Drill messages as the newest row of each key in PostgreSQL",
    model=Change,
    natural_key=lambda change: change.key,
    mapping=mapping,
    sink=table_sink(Table("drill_table", {"key": "integer", "id": "text"}, key=("key",))),
    endpoints=endpoints,
    bindings=BINDINGS,
)
