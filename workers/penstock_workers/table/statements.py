"""SQL for a table: the .sql templates with checked and quoted identifiers filled in. Values are parameters."""

from __future__ import annotations

from functools import cache, lru_cache
from importlib.resources import files
from typing import TYPE_CHECKING

from penstock_workers.table.table import IDENTIFIER, parameter_type

if TYPE_CHECKING:
    from collections.abc import Iterable

    from penstock_workers.table.table import Table

#: The columns the sink keeps in a table of states, and their types.
KEPT = {"hash": "text", "version": "bigint"}

#: Statements kept composed; a worker has one a table, or one a set of updated columns.
COMPOSED = 256


@cache
def template(name: str) -> str:
    """The text of NAME.sql."""
    return (files("penstock_workers.table") / f"{name}.sql").read_text(encoding="utf-8")


def fill(name: str, **parts: str) -> str:
    """The statement NAME.sql with its parts, which are identifiers quoted by `quote` and checked types."""
    return template(name).format_map(parts)


def quote(identifier: str) -> str:
    """A column or (schema-qualified) table name in double quotes. Raises ValueError for anything else."""
    parts = identifier.split(".")
    if not all(IDENTIFIER.fullmatch(part) for part in parts):
        raise ValueError(f"not an identifier: {identifier!r}")
    return ".".join(f'"{part}"' for part in parts)


def create_states(table: Table) -> str:
    """CREATE TABLE for states (modes `upsert` and `update`): the key, hash, version, the other columns, updated_at."""
    return fill(
        "create",
        table=quote(table.name),
        definitions=_lines(
            *(f"{quote(column)} {table.columns[column]}" for column in table.key),
            *(f"{column} {type_name}" for column, type_name in KEPT.items()),
            *(f"{quote(column)} {table.columns[column]}" for column in table.other_columns),
            "updated_at timestamptz NOT NULL DEFAULT now()",
            f"PRIMARY KEY ({_quoted(table.key)})",
        ),
    )


def create_events(table: Table) -> str:
    """CREATE TABLE for events (mode `append`): the columns and written_at. What was written is in the ledger."""
    return fill(
        "create",
        table=quote(table.name),
        definitions=_lines(
            *(f"{quote(column)} {type_name}" for column, type_name in table.columns.items()),
            "written_at timestamptz NOT NULL DEFAULT now()",
        ),
    )


@lru_cache(maxsize=COMPOSED)
def upsert(table: Table, columns: tuple[str, ...]) -> str:
    """The upsert of these columns of a table; the key's come first.

    Its parameters are one array a column, then the arrays of hashes and versions.
    """
    assignments = [f"{quote(column)} = excluded.{quote(column)}" for column in columns if column not in table.key]
    return fill(
        "upsert",
        table=quote(table.name),
        key=_quoted(table.key),
        columns=_quoted((*columns, *KEPT)),
        arrays=_arrays([table.columns[column] for column in columns] + list(KEPT.values())),
        key_arrays=_arrays([table.columns[column] for column in table.key]),
        assignments=_lines(
            *assignments,
            "hash = excluded.hash",
            "version = coalesce(excluded.version, stored.version)",
            "updated_at = now()",
        ),
    )


@lru_cache(maxsize=COMPOSED)
def append(table: Table) -> str:
    """The INSERT of events; its parameters are one array a column, in the order declared."""
    return fill(
        "append",
        table=quote(table.name),
        columns=_quoted(table.columns),
        arrays=_arrays(table.columns.values()),
    )


@lru_cache(maxsize=COMPOSED)
def last_written(table: Table) -> str:
    """The SELECT of when rows were last written; its parameters are one array a column of the key, in their order."""
    return fill(
        "last_written",
        table=quote(table.name),
        key=_quoted(table.key),
        key_arrays=_arrays([table.columns[column] for column in table.key]),
        conditions=" AND ".join(f"stored.{quote(column)} = asked.{quote(column)}" for column in table.key),
    )


def _quoted(columns: Iterable[str]) -> str:
    return ", ".join(map(quote, columns))


def _arrays(types: Iterable[str]) -> str:
    return ", ".join(f"${number}::{parameter_type(type_name)}[]" for number, type_name in enumerate(types, 1))


def _lines(*parts: str) -> str:
    return ",\n        ".join(parts)
