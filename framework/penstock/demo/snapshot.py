"""How everything is at one moment."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from penstock.demo.workers import WorkerLook

#: Seconds over which a rate is taken.
RATE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A worker as it was last seen: `queued` messages are ready in its queue, `rate` is in records a second."""

    name: str
    look: WorkerLook = field(default_factory=WorkerLook)
    queued: int = 0
    rate: float = 0.0

    @property
    def breaker(self) -> str:
        """The state of its breaker, and that the worker is paused if it is."""
        state = self.look.breaker.replace("_", "-")
        return f"{state}, paused" if self.look.paused_for else state

    def settled(self, published: int) -> bool:
        """Whether it has an outcome for all of so many messages, and nothing left to do."""
        return self.look.done >= published and not self.look.held and not self.queued


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything, as it was last seen. A count of a store is None before it has answered for the first time."""

    workers: tuple[WorkerState, ...]
    published: int = 0
    rows: int | None = None
    nodes: int | None = None
    edges: int | None = None
    #: Whether PostgreSQL is stopped, on purpose.
    outage: bool = False

    def worker(self, name: str) -> WorkerState:
        """Return the worker of that name."""
        return next(worker for worker in self.workers if worker.name == name)

    @property
    def state(self) -> tuple[object, ...]:
        """What changes seldom, and is worth a line each time."""
        return self.outage, tuple((worker.breaker, worker.look.held > 0) for worker in self.workers)

    @property
    def movement(self) -> tuple[object, ...]:
        """What changes while there is work that goes on."""
        return self.published, tuple((worker.look.outcomes, worker.look.held, worker.queued) for worker in self.workers)

    def settled(self, published: int) -> bool:
        """Whether all workers are done with so many messages."""
        return all(worker.settled(published) for worker in self.workers)

    @property
    def stores(self) -> str:
        """What the stores hold, in one line."""
        down = " (PostgreSQL is down)" if self.outage else ""
        return f"rows {_count(self.rows)}{down}, nodes {_count(self.nodes)}, edges {_count(self.edges)}"


class Rate:
    """Records a second, over the last RATE_SECONDS or a little more."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def of(self, total: int, now: float) -> float:
        """Return the rate, `total` records being done at `now`, in seconds of any clock."""
        self._seen.append((now, total))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RATE_SECONDS:  # noqa: PLR2004 - a first and a last
            self._seen.popleft()
        then, before = self._seen[0]
        return (total - before) / (now - then) if now > then else 0.0


def _count(number: int | None) -> str:
    return "–" if number is None else f"{number:,}"
