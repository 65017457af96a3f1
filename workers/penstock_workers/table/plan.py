"""How a batch becomes statements: which records go together, in which order, with which columns."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from penstock.errors import BatchError
from penstock.outcome import Poison
from penstock_workers.table.row import TableRow
from penstock_workers.table.statements import COMPOSED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

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
    rounds: defaultdict[str, dict[Hashable, int]] = defaultdict(dict)
    grouped: dict[tuple[str, int, tuple[str, ...]], list[int]] = {}
    for position in positions:
        row = records[position].row
        table = tables[row.table]
        turn = 0
        if table.key:
            of_key, key = rounds[table.name], _key_reader(table)(row.values)
            turn = of_key.get(key, 0)
            of_key[key] = turn + 1
        columns = _given_columns(table, row) if mode == "update" else _all_columns(table)
        grouped.setdefault((table.name, turn, columns), []).append(position)
    return [Step(tables[name], columns, tuple(grouped[name, turn, columns])) for name, turn, columns in sorted(grouped)]


def _given_columns(table: Table, row: TableRow) -> tuple[str, ...]:
    """An update leaves alone what a record does not give."""
    return tuple(column for column in _all_columns(table) if column in row.values)


@lru_cache(maxsize=COMPOSED)
def _all_columns(table: Table) -> tuple[str, ...]:
    return (*table.key, *table.other_columns)


@lru_cache(maxsize=COMPOSED)
def _key_reader(table: Table) -> Callable[[Mapping[str, Any]], Hashable]:
    return itemgetter(*table.key)


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
