"""A decoded and validated message, mapped to what its sink stores; and the batch of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from penstock.idempotency import message_key

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from penstock.delivery import Delivery


@dataclass(slots=True, eq=False)
class Record:
    """One validated record.

    `row` is what the worker's mapping made of it, in the shape its sink takes. `content_hash` is
    the SHA-256 of the row, its version and the mapping's version (64 hex digits); `version` is None
    where the source has none. `key_fields` are the fields that its key is made of, none for all.
    """

    delivery: Delivery
    row: Any
    natural_key: Hashable
    content_hash: str
    version: int | None
    key_fields: Sequence[str] = ()
    known_key: str = ""

    @property
    def key(self) -> str:
        """The event's identity: what its publisher set, else 64 hex digits. Worked out once somebody asks."""
        if not self.known_key:
            self.known_key = message_key(self.delivery.properties.headers, self.delivery.body, self.key_fields)
        return self.known_key


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Records to be written in one transaction, in the order they were delivered."""

    records: tuple[Record, ...]

    def __len__(self) -> int:
        return len(self.records)
