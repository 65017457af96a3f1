"""The worker `discogs-table`: a table per type, each row the whole record as jsonb."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.idempotency import canonical
from penstock.stores.postgres import endpoints
from penstock_workers.discogs.declaration import TYPES, discogs_worker
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table

if TYPE_CHECKING:
    from penstock_workers.discogs.records import AnyRecord

TABLE_OF = {kind: f"{kind}s" for kind in TYPES}
COLUMNS = {"data_id": "text", "data": "jsonb"}
#: What the row says elsewhere: the table is the type, and the version has a column of its own.
NOT_DATA = {"type", "version"}


def mapping(record: AnyRecord) -> TableRow:
    """A record as {data_id, data}, the JSON with sorted names, so that the same record always has the same hash."""
    data = canonical(record.model_dump(exclude=NOT_DATA, exclude_unset=True))
    return TableRow(TABLE_OF[record.type], {"data_id": record.id, "data": data.decode()})


worker = discogs_worker(
    name="discogs-table",
    port=8002,
    description="Discogs records as rows in PostgreSQL",
    mapping=mapping,
    sink=table_sink(*(Table(table, COLUMNS, ("data_id",)) for table in TABLE_OF.values())),
    endpoints=endpoints,
)
