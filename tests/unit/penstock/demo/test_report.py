"""The promises of a demo, each broken once."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from penstock.demo.declaration import Graph
from penstock.demo.report import Tally, check_first, check_second, contents, result_line
from penstock.errors import PenstockError

FIRST = Tally(
    published={"release": 60, "artist": 40},
    rows={"releases": 60, "artists": 40},
    graph=Graph({"Release": 60, "Artist": 50}, {"BY": 70}),
    outcomes={"table": {"written": 100}, "graph": {"written": 100}},
    dead_letters={"table.dlq": 0, "graph.dlq": 0},
)
TWICE = {"written": 100, "duplicate": 100}
SECOND = replace(FIRST, outcomes={"table": TWICE, "graph": TWICE})


def test_kept_promises_are_not_worth_a_word() -> None:
    check_first(FIRST, "table")
    check_second(FIRST, SECOND)


@pytest.mark.parametrize(
    "outcomes",
    [
        # In the input twice: in one batch, and in two.
        {"written": 98, "superseded": 1, "duplicate": 1},
        # Its COMMIT went through, its answer was lost.
        {"written": 40, "duplicate": 60},
    ],
)
def test_repetitions_in_the_first_pass_are_no_loss(outcomes: dict[str, int]) -> None:
    rows = {"releases": outcomes["written"]} if "superseded" in outcomes else FIRST.rows
    check_first(replace(FIRST, rows=rows, outcomes={"table": outcomes, "graph": outcomes}), "table")


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"dead_letters": {"table.dlq": 0, "graph.dlq": 3}}, "graph.dlq holds 3 dead letters where none was expected"),
        ({"rows": {"releases": 60, "artists": 39}}, "100 records were published and confirmed, and there are 99 rows"),
        ({"rows": {"releases": 61, "artists": 40}}, "100 records were published and confirmed, and there are 101 rows"),
        (
            {"outcomes": {"table": {"written": 100}, "graph": {"written": 90}}},
            "graph has an outcome for 90 records of 100",
        ),
    ],
)
def test_a_loss_is_told(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PenstockError) as caught:
        check_first(replace(FIRST, **change), "table")
    assert str(caught.value) == f"the demo did not keep its promise: {complaint}"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"dead_letters": {"table.dlq": 1}}, "table.dlq holds 1 dead letters where none was expected"),
        ({"published": {"release": 61, "artist": 40}}, "the second pass published 101 messages, the first one 100"),
        (
            {"outcomes": {"table": TWICE, "graph": {"written": 101, "duplicate": 99}}},
            "graph wrote 1 records of the second pass again; graph knew 99 records of 100 again",
        ),
        (
            {"outcomes": {"table": {"written": 100, "duplicate": 98, "superseded": 1}, "graph": TWICE}},
            "table knew 99 records of 100 again",
        ),
        ({"rows": {"releases": 60}}, "the second pass changed the rows from {'releases': 60, 'artists': 40} to"),
        ({"graph": Graph({"Release": 60, "Artist": 50}, {"BY": 71})}, "the second pass changed the edges from"),
        ({"graph": Graph({"Release": 61, "Artist": 50}, {"BY": 70})}, "the second pass changed the nodes from"),
    ],
)
def test_a_second_pass_that_changes_something_is_told(change: dict[str, Any], complaint: str) -> None:
    with pytest.raises(PenstockError) as caught:
        check_second(FIRST, replace(SECOND, **change))
    assert complaint in str(caught.value)


def test_the_result_is_one_line_with_sorted_names() -> None:
    line = result_line(replace(SECOND, dead_letters={"table.dlq": 1, "graph.dlq": 2}), 12.345)
    assert "\n" not in line
    assert list(json.loads(line)["published"]) == ["artist", "release"]
    assert json.loads(line) == {
        "published": {"artist": 40, "release": 60},
        "rows": {"artists": 40, "releases": 60},
        "nodes": {"Artist": 50, "Release": 60},
        "edges": {"BY": 70},
        "dead_letters": 3,
        "seconds": 12.3,
    }


def test_the_table_adds_up_each_kind() -> None:
    assert contents(replace(FIRST, graph=Graph({"Release": 1_234}, {"BY": 70}))) == [
        ("rows", "artists", "40"),
        ("rows", "releases", "60"),
        ("rows", "all", "100"),
        ("nodes", "Release", "1,234"),
        ("nodes", "all", "1,234"),
        ("edges", "BY", "70"),
        ("edges", "all", "70"),
    ]
