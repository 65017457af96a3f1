"""How a batch becomes statements: which records go together, in which order, with which columns."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from penstock.errors import BatchError
from penstock.outcome import Poison
from penstock_workers.table.row import TableRow

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence

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
    grouped: dict[tuple[str, int, tuple[str, ...]], list[int]] = {}
    turns = {name: _Turns(table) for name, table in tables.items()}
    for position in positions:
        row = records[position].row
        of_table = turns[row.table]
        columns = of_table.columns
        if mode == "update":  # it leaves alone what a record does not give
            columns = tuple(column for column in columns if column in row.values)
        grouped.setdefault((row.table, of_table.next(row.values), columns), []).append(position)
    return [Step(tables[name], columns, tuple(grouped[name, turn, columns])) for name, turn, columns in sorted(grouped)]


class _Turns:
    """Of a table in one batch: its columns, the key's first, and how many records each key has had."""

    def __init__(self, table: Table) -> None:
        self.columns = (*table.key, *table.other_columns)
        self._key_of: Callable[[Mapping[str, Any]], Hashable] | None = itemgetter(*table.key) if table.key else None
        self._had: dict[Hashable, int] = {}

    def next(self, values: Mapping[str, Any]) -> int:
        """How many records of the same key were there before; where there is no key, none."""
        if self._key_of is None:
            return 0
        key = self._key_of(values)
        turn = self._had.get(key, 0)
        self._had[key] = turn + 1
        return turn


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
        if value is None or type(value).__hash__ is None:
            return f"the key column {column!r} of table {table.name!r} has no value that can be a key"
    return None
