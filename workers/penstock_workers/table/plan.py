"""How a batch becomes statements: which records go together, in which order, with which columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.errors import BatchError
from penstock.outcome import Poison
from penstock_workers.table.row import TableRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from penstock.record import Record
    from penstock.worker import Mode
    from penstock_workers.table.table import Table


@dataclass(frozen=True, slots=True)
class Step:
    """One statement: the records at `positions` of the batch into these columns of a table, the key's first.

    No two of its records have the same key.
    """

    table: Table
    columns: tuple[str, ...]
    positions: tuple[int, ...]

    def arrays(self, records: Sequence[Record]) -> list[list[Any]]:
        """One array a column, each with a value a record; what a record does not give is None."""
        rows = [records[position].row.values for position in self.positions]
        return [[row.get(column) for row in rows] for column in self.columns]


def check(records: Sequence[Record], tables: Mapping[str, Table]) -> None:
    """Raise BatchError with Poison, naming its position, for the first record whose row no table can take."""
    for position, record in enumerate(records):
        if text := _fault(record.row, tables):
            raise BatchError(Poison("bad_row", "TableRow", text), (position,))


def steps(
    records: Sequence[Record], positions: Iterable[int], tables: Mapping[str, Table], mode: Mode
) -> Sequence[Step]:
    """The statements that write the (checked) records at `positions`, in the order to be sent.

    Tables come in the order of their names, whoever declares them in which order, so that racing
    writers take their locks in one order. Records of one key stay in the batch's order: each
    comes in a later statement than the one before.
    """
    rounds: Counter[tuple[str, Hashable]] = Counter()
    grouped: dict[tuple[str, int, tuple[str, ...]], list[int]] = {}
    for position in positions:
        row = records[position].row
        table = tables[row.table]
        turn = 0
        if table.key:
            key = (table.name, tuple(row.values[column] for column in table.key))
            turn = rounds[key]
            rounds[key] += 1
        grouped.setdefault((table.name, turn, _columns(table, row, mode)), []).append(position)
    return [Step(tables[name], columns, tuple(grouped[name, turn, columns])) for name, turn, columns in sorted(grouped)]


def _columns(table: Table, row: TableRow, mode: Mode) -> tuple[str, ...]:
    """An update leaves alone what a record does not give; otherwise what it does not give is NULL."""
    if mode == "update":
        return (*table.key, *(column for column in table.other_columns if column in row.values))
    return (*table.key, *table.other_columns)


def _fault(row: object, tables: Mapping[str, Table]) -> str | None:
    if not isinstance(row, TableRow):
        return f"the mapping made a {type(row).__name__}: it has to be a TableRow"
    table = tables.get(row.table)
    if table is None:
        return f"the mapping names the table {row.table!r}, which the worker does not declare"
    if not row.values.keys() <= table.columns.keys():
        unknown = min(row.values.keys() - table.columns.keys())
        return f"the mapping names the column {unknown!r}, which table {table.name!r} does not declare"
    for column in table.key:
        value = row.values.get(column)
        if value is None or not isinstance(value, Hashable):
            return f"the key column {column!r} of table {table.name!r} has no value that can be a key"
    return None
