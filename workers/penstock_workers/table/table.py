"""What a table is: its columns, their types, and its key. A declaration, checked when it is made."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Columns the sink keeps itself.
RESERVED = frozenset({"hash", "version", "updated_at", "written_at", "penstock_place"})

#: PostgreSQL cuts a longer identifier off in silence (NAMEDATALEN - 1 bytes).
IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_$]{0,62}")

#: One word, perhaps with its schema, or one of the standard's own long names; then perhaps (n) or (n, m).
TYPE = re.compile(
    r"(?P<name>double precision|character varying|bit varying|(?:[a-z_][a-z0-9_]*\.)?[a-z_][a-z0-9_]*)"
    r"(?:\(\d{1,7}(?:, ?\d{1,7})?\))?"
    r"(?P<zone> (?:with|without) time zone)?"
)

#: Without a length these mean length 1, and a cast to them cuts in silence.
CUTTING = frozenset({"char", "character", "bit", "bpchar"})


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A table: its name, perhaps `schema.name`; PostgreSQL's type by column name; the columns of its key.

    A table of events (mode `append`) has no key. The sink adds columns of its own: `hash`, `version`
    and `updated_at`, or `written_at` for events. Raises UsageError for a name or type that cannot be used.
    """

    name: str
    columns: Mapping[str, str]
    key: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for part in self.name.split("."):
            _check_identifier(part, f"table {self.name!r}")
        if self.name.count(".") > 1:
            raise UsageError(f"table {self.name!r}: a name is TABLE or SCHEMA.TABLE")
        if not self.columns:
            raise UsageError(f"table {self.name!r} has no columns: declare at least one")
        for column, type_name in self.columns.items():
            _check_identifier(column, f"column {column!r} of table {self.name!r}")
            if column in RESERVED:
                raise UsageError(f"column {column!r} of table {self.name!r}: the sink keeps it itself; choose another")
            _check_type(type_name, f"column {column!r} of table {self.name!r}")
        if missing := [column for column in self.key if column not in self.columns]:
            raise UsageError(f"table {self.name!r}: its key names {missing[0]!r}, which is none of its columns")
        if len(set(self.key)) < len(self.key):
            raise UsageError(f"table {self.name!r}: its key names a column twice")

    @property
    def other_columns(self) -> tuple[str, ...]:
        """The declared columns that are not part of the key, in the order declared."""
        return tuple(column for column in self.columns if column not in self.key)


def parameter_type(type_name: str) -> str:
    """The type of a parameter for a column: without its length.

    A cast to varchar(3) cuts in silence, where storing into such a column refuses what is too long.
    """
    matched = TYPE.fullmatch(type_name)
    if matched is None:
        raise UsageError(f"type {type_name!r} cannot be used")
    return matched["name"] + (matched["zone"] or "")


def _check_identifier(name: str, where: str) -> None:
    if not IDENTIFIER.fullmatch(name):
        raise UsageError(f"{where}: a name is letters, digits, _ and $, starts with no digit and has at most 63")


def _check_type(type_name: str, where: str) -> None:
    if type_name.endswith("[]"):
        raise UsageError(f"{where}: arrays ({type_name}) cannot be written; declare it jsonb")
    matched = TYPE.fullmatch(type_name)
    if matched is None or (matched["zone"] and not matched["name"].startswith("time")):
        raise UsageError(f"{where}: {type_name!r} is no type Penstock can write; in lower case, such as text or jsonb")
    if matched["name"] in CUTTING:
        raise UsageError(f"{where}: {type_name!r} cuts or pads its values; declare it text or varchar")
