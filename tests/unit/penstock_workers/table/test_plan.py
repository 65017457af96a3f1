"""How a batch is taken apart into statements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.errors import BatchError
from penstock.outcome import Poison
from penstock.testing import make_record
from penstock_workers.table.plan import Step, check, steps
from penstock_workers.table.row import TableRow
from penstock_workers.table.table import Table

if TYPE_CHECKING:
    from penstock.record import Record
    from penstock.worker import Mode

LABELS = Table("labels", {"id": "text", "name": "text", "data": "jsonb"}, key=("id",))
ARTISTS = Table("artists", {"id": "text", "name": "text"}, key=("id",))
PAIRS = Table("pairs", {"value": "text", "left": "integer", "right": "integer"}, key=("left", "right"))
PLAYS = Table("plays", {"at": "text", "data": "jsonb"})
TABLES = {table.name: table for table in (LABELS, ARTISTS, PAIRS, PLAYS)}


def record(table: str, **values: Any) -> Record:
    return make_record(TableRow(table, values), (table, repr(values)))


def planned(mode: Mode, *records: Record) -> list[tuple[str, tuple[str, ...], tuple[int, ...]]]:
    found = steps(records, range(len(records)), TABLES, mode)
    return [(step.table.name, step.columns, step.positions) for step in found]


def test_tables_come_in_the_order_of_their_names() -> None:
    batch = [record("labels", id="1"), record("artists", id="1"), record("labels", id="2")]
    assert planned("upsert", *batch) == [
        ("artists", ("id", "name"), (1,)),
        ("labels", ("id", "name", "data"), (0, 2)),
    ]


def test_a_key_met_again_goes_into_a_later_statement() -> None:
    batch = [record("artists", id=id_, name=str(place)) for place, id_ in enumerate("abaca")]
    assert [positions for _, _, positions in planned("upsert", *batch)] == [(0, 1, 3), (2,), (4,)]


def test_a_compound_key_is_one_key() -> None:
    batch = [record("pairs", left=1, right=2), record("pairs", left=2, right=1), record("pairs", left=1, right=2)]
    assert planned("upsert", *batch) == [
        ("pairs", ("left", "right", "value"), (0, 1)),
        ("pairs", ("left", "right", "value"), (2,)),
    ]


def test_an_update_has_a_statement_a_set_of_columns_and_keeps_the_order_of_a_key() -> None:
    batch = [
        record("labels", id="a", name="x"),
        record("labels", id="b", data="{}"),
        record("labels", id="a", data="{}"),
        record("labels", id="c", name="z"),
    ]
    assert planned("update", *batch) == [
        ("labels", ("id", "data"), (1,)),
        ("labels", ("id", "name"), (0, 3)),
        ("labels", ("id", "data"), (2,)),
    ]


def test_events_go_in_the_order_of_the_batch_however_alike() -> None:
    batch = [record("plays", at="now", data="{}") for _ in range(3)]
    assert planned("append", *batch) == [("plays", ("at", "data"), (0, 1, 2))]


def test_only_the_positions_asked_for() -> None:
    batch = [record("plays", at=str(place)) for place in range(4)]
    [step] = steps(batch, [1, 3], TABLES, "append")
    assert step.arrays(batch) == [["1", "3"], [None, None]]


def test_arrays_hold_a_value_a_record_and_none_for_what_is_not_given() -> None:
    batch = [record("labels", id="a", data="{}"), record("labels", id="b", name="y")]
    assert Step(LABELS, ("id", "name", "data"), (1, 0)).arrays(batch) == [["b", "a"], ["y", None], [None, "{}"]]


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({"id": "1"}, "made a dict"),
        (TableRow("masters", {"id": "1"}), "table 'masters'"),
        (TableRow("labels", {"id": "1", "nmae": "x"}), "column 'nmae'"),
        (TableRow("labels", {"name": "x"}), "key column 'id'"),
        (TableRow("labels", {"id": None}), "key column 'id'"),
        (TableRow("labels", {"id": ["1"]}), "key column 'id'"),
    ],
)
def test_a_row_no_table_can_take_is_poison_and_named(row: object, text: str) -> None:
    with pytest.raises(BatchError, match=text) as raised:
        check([record("labels", id="1"), make_record(row, "bad")], TABLES)
    assert isinstance(raised.value.refusal, Poison)
    assert raised.value.positions == (1,)


def test_rows_that_tables_can_take_pass() -> None:
    check([record("labels", id="1"), record("plays"), record("pairs", left=0, right=0)], TABLES)
