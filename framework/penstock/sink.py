"""The one seam a new target implements."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.outcome import Outcome
    from penstock.record import Batch


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One server of a sink. `url` may hold a password and is never printed; `name` is what people see."""

    name: str
    url: str = field(repr=False)


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
