"""A worker of a user's whose mapping has a fault: a parcel that says so ends the process. Its events go to a table."""

from __future__ import annotations

import os

from pydantic import BaseModel

from penstock.stores.postgres import endpoints
from penstock.worker import Binding, Worker
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table


class Parcel(BaseModel):
    number: int
    explosive: bool = False


def row_of(parcel: Parcel) -> TableRow:
    if parcel.explosive:
        os._exit(70)
    return TableRow("parcels", {"number": parcel.number})


worker = Worker(
    name="shop-parcels",
    description="Parcels of the shop, each once; an explosive one ends the worker",
    model=Parcel,
    natural_key=lambda parcel: parcel.number,
    key_fields=("number",),
    mapping=row_of,
    sink=table_sink(Table("parcels", {"number": "bigint"})),
    endpoints=endpoints,
    bindings=(Binding("shop", "parcel"),),
    mode="append",
)
