"""A worker whose records are events: each order is entered once, by the ledger beside the table."""

from __future__ import annotations

from pydantic import BaseModel

from penstock.stores.postgres import endpoints
from penstock.worker import Binding, Worker
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table


class Order(BaseModel):
    number: int
    customer: int
    sequence: int


worker = Worker(
    name="shop-orders",
    description="Orders of the shop, each once",
    model=Order,
    natural_key=lambda order: order.number,
    key_fields=("number",),
    mapping=lambda order: TableRow("orders", order.model_dump()),
    # No unique id on purpose: a tool that counts duplicates must be able to see one.
    sink=table_sink(Table("orders", {"number": "bigint", "customer": "bigint", "sequence": "bigint"})),
    endpoints=endpoints,
    bindings=(Binding("shop", "order"),),
    mode="append",
)
