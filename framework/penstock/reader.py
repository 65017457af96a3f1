"""Readers turn files into messages for `penstock publish`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path
    from typing import BinaryIO


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to be published: persistent, mandatory and confirmed."""

    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, str | int] = field(default_factory=dict)


class Reader(Protocol):
    """A source of messages. Found by name in the entry-point group `penstock.readers`."""

    @property
    def exchange(self) -> str:
        """Where its messages go."""

    def files(self, path: Path) -> Sequence[Path]:
        """The files to read, in order: `path` itself, or what a folder holds. Raises UsageError if none."""

    def read(self, stream: BinaryIO, name: str) -> Iterator[Outgoing]:
        """The messages of one (already decompressed) file, in constant memory. Raises UsageError on a broken file."""
