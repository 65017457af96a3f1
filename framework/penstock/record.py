"""A decoded and validated message, mapped to what its sink stores; and the batch of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from penstock.delivery import Delivery


@dataclass(slots=True, eq=False)
class Record:
    """One validated record.

    `row` is what the worker's mapping made of it, in the shape its sink takes. `key` is the
    event's identity (64 hex digits), `content_hash` the SHA-256 of the row, its version and the
    mapping's version (64 hex digits); `version` is None where the source has none.
    """

    delivery: Delivery
    row: Any
    natural_key: Hashable
    key: str
    content_hash: str
    version: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Records to be written in one transaction, in the order they were delivered."""

    records: tuple[Record, ...]

    def __len__(self) -> int:
        return len(self.records)
