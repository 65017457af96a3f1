"""The worker `drill-ledger`: each message as a row, appended. The drill makes the table and counts its rows."""

from __future__ import annotations

from penstock.stores.postgres import endpoints
from penstock.worker import Worker
from penstock_workers.drill.declaration import BINDINGS, Change
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table

#: No unique id on purpose: a drill must be able to see a duplicate.
COLUMNS = {"id": "text", "key": "integer", "key_version": "bigint"}


def mapping(change: Change) -> TableRow:
    """A message as it is; `version` is a name that the sink keeps to itself."""
    return TableRow("drill_ledger", {"id": change.id, "key": change.key, "key_version": change.version})


worker = Worker(
    name="drill-ledger",
    description="Drill messages as appended rows in PostgreSQL",
    model=Change,
    natural_key=lambda change: change.id,
    key_fields=("id",),
    mapping=mapping,
    sink=table_sink(Table("drill_ledger", COLUMNS)),
    endpoints=endpoints,
    bindings=BINDINGS,
    mode="append",
)
