"""The records that go into the table: made up from their number, in bodies of one size."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
from pydantic import BaseModel

from penstock_workers.table.table import Table

if TYPE_CHECKING:
    from collections.abc import Iterator

KINDS = ("order", "invoice", "delivery", "return")
FILLER = "The gate of a penstock lets exactly as much water through as the turbine takes, and shuts without spilling. "
TABLE = Table(
    "bench_rows",
    {"id": "bigint", "kind": "text", "name": "text", "amount": "double precision", "note": "text"},
    key=("id",),
)


class Row(BaseModel):
    """One record."""

    id: int
    kind: str
    name: str
    amount: float
    note: str


def row(number: int, size: int) -> dict[str, object]:
    """The record of a number, whose JSON has `size` bytes (or is as short as it can be)."""
    found = {
        "id": number,
        "kind": KINDS[number % len(KINDS)],
        "name": f"record number {number}",
        "amount": round(number * 1.37, 2),
        "note": "",
    }
    room = max(0, size - len(orjson.dumps(found)))
    return found | {"note": (FILLER * (room // len(FILLER) + 1))[:room]}


def body(number: int, size: int) -> bytes:
    """The same as a message."""
    return orjson.dumps(row(number, size))


def bodies(count: int, size: int) -> Iterator[bytes]:
    """The bodies of records 0, 1, 2 and so on."""
    return (body(number, size) for number in range(count))
