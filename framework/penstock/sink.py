"""The one seam a new target implements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from penstock.message import Message
    from penstock.outcome import Outcome
    from penstock.record import Batch, Record


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server of a sink. `url` may hold a password and is never printed; `name` is what people see.

    `region` is where it stands, empty where nobody said. With `records_taken` the sink enters what it
    writes there, in the same transaction, for the primary to be given later (see `Reconcilable`).
    """

    name: str
    url: str = field(repr=False)
    region: str = ""
    records_taken: bool = False


class Sink(Protocol):
    """A target. It neither retries nor sleeps, and waits for nothing without a time limit.

    The runtime calls from one task at a time: open, prepare, then write and ping in any order, then
    close; after close it may open again, on the same or another endpoint.
    """

    async def open(self, endpoint: Endpoint) -> None:
        """Connect; change nothing on the server. Raises SinkUnavailable."""

    async def prepare(self) -> None:
        """Create what is missing: tables, constraints. Repeated safely. Raises SinkUnavailable."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        """Write all records in one transaction; keys and data commit together.

        Returns one Written or Duplicate per record, in the batch's order. Raises BatchError when
        the sink refuses records (then nothing is written), SinkUnavailable in an outage. Writing
        the same batch again must be harmless.
        """

    async def ping(self) -> None:
        """Answer in a round trip whether a write would have a chance. Raises SinkUnavailable."""

    async def close(self) -> None:
        """Give back every resource; never raises, and is safe to call twice."""


@dataclass(frozen=True, slots=True)
class ReplicaState:
    """What a server of a replicated database says of itself.

    `writable`: it takes writes, so it is no standby. `timeline` grows with every promotion; of two
    writable servers the one on the lower was primary once and is no more. `synchronous`: a commit
    there waits for a standby.
    """

    writable: bool
    timeline: int
    synchronous: bool


@runtime_checkable
class Replicated(Protocol):
    """A sink whose endpoints may be a primary and its standbys: what failover.mode `replica` needs."""

    async def replica_state(self) -> ReplicaState:
        """Ask the server, in bounded time. Raises SinkUnavailable."""


@runtime_checkable
class Reconcilable(Protocol):
    """A sink that records at an endpoint with `records_taken` what it wrote there: failover.mode `independent`."""

    def taken(self, limit: int) -> AbstractAsyncContextManager[Sequence[Message]]:
        """The first `limit` messages taken, oldest first, locked against every other worker of the same name.

        Waits for the lock in bounded time. A block that ends without an error has them forgotten, in the
        transaction that locked them; any other end leaves them. Raises SinkUnavailable.
        """


@runtime_checkable
class LastWritten(Protocol):
    """A sink that knows when it wrote a row: what a replay asks, so that an old letter does not undo a newer record."""

    async def last_written(self, records: Sequence[Record]) -> Sequence[datetime | None]:
        """Of each record, when the row of its natural key was last written, UTC; of an event, when this very event was.

        None where it never was. Changes nothing. Raises BatchError where the sink refuses a row, SinkUnavailable.
        """


@dataclass(frozen=True, slots=True)
class LedgerPart:
    """Keys of a worker's events in one part of a ledger: how many, and when the oldest and newest were entered, UTC."""

    keys: int
    oldest: datetime | None
    newest: datetime | None


@runtime_checkable
class Prunable(Protocol):
    """A sink that in mode `append` keeps a ledger, the keys of its worker's events, and can forget the old ones.

    A ledger may be large: it is gone through in parts, each so small that no writer waits long for it.
    """

    async def ledger_parts(self) -> range:
        """The parts there are now; none while there is no ledger. Keys entered later may be in others. Changes nothing.

        Raises SinkUnavailable.
        """

    async def ledger_part(self, part: int, before: datetime | None = None) -> LedgerPart:
        """What a part holds of this worker; with `before`, of what was entered before. Changes nothing.

        Raises SinkUnavailable.
        """

    async def prune(self, part: int, before: datetime) -> int:
        """Remove this worker's keys of a part that were entered before; how many. One short transaction.

        Safe beside writers, and beside another who prunes. Raises SinkUnavailable.
        """


@runtime_checkable
class Warmable(Protocol):
    """A sink whose server is slow at first: while an endpoint stands by, it is made ready for the writes to come."""

    async def warm(self) -> None:
        """Have the server plan what `write` sends, in bounded time, and change nothing. Raises SinkUnavailable."""
