"""What a table declaration takes and what it refuses."""

from __future__ import annotations

import pytest

from penstock.errors import UsageError
from penstock_workers.table.table import Table, parameter_type


@pytest.mark.parametrize("name", ["artists", "_a", "Artists", "select", "music.artists", "a$1", "a" * 63])
def test_names_that_can_be_quoted(name: str) -> None:
    assert Table(name, {"id": "text"}, key=("id",)).name == name


@pytest.mark.parametrize(
    "name", ["", "1a", "a b", 'a"b', "a;b", "a.b.c", ".a", "a.", "a" * 64, "ärtists", "a\n", "a-b", "a'b"]
)
def test_names_that_cannot(name: str) -> None:
    with pytest.raises(UsageError, match="table"):
        Table(name, {"id": "text"}, key=("id",))
    if "." not in name:
        with pytest.raises(UsageError, match="column"):
            Table("t", {"id": "text", name: "text"}, key=("id",))


@pytest.mark.parametrize(
    ("type_name", "parameter"),
    [
        ("text", "text"),
        ("jsonb", "jsonb"),
        ("double precision", "double precision"),
        ("character varying", "character varying"),
        ("character varying(20)", "character varying"),
        ("varchar(20)", "varchar"),
        ("numeric(10, 2)", "numeric"),
        ("numeric(10,2)", "numeric"),
        ("timestamp with time zone", "timestamp with time zone"),
        ("timestamp(3) without time zone", "timestamp without time zone"),
        ("time(0)", "time"),
        ("public.citext", "public.citext"),
        ("vector(3)", "vector"),
    ],
)
def test_types_and_the_parameters_for_them_which_have_no_length(type_name: str, parameter: str) -> None:
    Table("t", {"id": "text", "value": type_name}, key=("id",))
    assert parameter_type(type_name) == parameter


@pytest.mark.parametrize(
    "type_name",
    [
        "",
        "TEXT",
        "text not null",
        "text default now()",
        "text)",
        "text; drop table t",
        "text--",
        "varchar()",
        "varchar(a)",
        "numeric(1,2,3)",
        "text with time zone",
        "text\n",
        '"text"',
        "a.b.c",
    ],
)
def test_types_that_are_none(type_name: str) -> None:
    with pytest.raises(UsageError, match="column 'value' of table 't'"):
        Table("t", {"id": "text", "value": type_name}, key=("id",))


@pytest.mark.parametrize(
    ("type_name", "advice"), [("text[]", "jsonb"), ("char", "varchar"), ("character(5)", "text"), ("bit(2)", "text")]
)
def test_types_that_would_lose_something_say_what_to_take(type_name: str, advice: str) -> None:
    with pytest.raises(UsageError, match=advice):
        Table("t", {"id": "text", "value": type_name}, key=("id",))


@pytest.mark.parametrize("column", ["hash", "version", "updated_at", "written_at", "penstock_place"])
def test_the_sinks_own_columns_cannot_be_declared(column: str) -> None:
    with pytest.raises(UsageError, match=column):
        Table("t", {"id": "text", column: "text"}, key=("id",))


def test_a_key_is_made_of_columns_each_once() -> None:
    with pytest.raises(UsageError, match="'other'"):
        Table("t", {"id": "text"}, key=("other",))
    with pytest.raises(UsageError, match="twice"):
        Table("t", {"id": "text"}, key=("id", "id"))
    with pytest.raises(UsageError, match="no columns"):
        Table("t", {})


def test_other_columns_keep_their_order() -> None:
    assert Table("t", {"b": "text", "id": "text", "a": "text"}, key=("id",)).other_columns == ("b", "a")
