"""The row a mapping hands to the table sink."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class TableRow:
    """One record as one row.

    `table` is the declared table's name; `values` holds a value by column name. A jsonb column
    takes JSON text, every other one what asyncpg takes for its type.
    """

    table: str
    values: Mapping[str, Any]
