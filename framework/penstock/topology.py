"""The queues and exchanges a worker needs, as data; `broker.ensure_topology` makes or checks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.ladder import retry_queue, rungs
from penstock.worker import may_be_late

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.settings import Settings
    from penstock.worker import Binding, Worker

#: How long a note on a suspect is kept, in milliseconds: those of messages that nobody tries again must not stay.
NOTES_KEPT = 7 * 24 * 3600 * 1000


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """A durable queue and its arguments."""

    name: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """What must exist before a worker can consume: its queues, and the bindings of the first of them.

    `others` are those that it publishes to itself: DLQ, notes on suspects, retry queues.
    """

    queue: Queue
    others: tuple[Queue, ...]
    bindings: tuple[Binding, ...]


def topology_of(worker: Worker, settings: Settings) -> Topology:
    """The topology of a worker.

    The work queue is a quorum queue. What the broker itself gives up on (delivery limit, expiry) goes
    to the same DLQ at-least-once, for which RabbitMQ asks for overflow=reject-publish. The DLQ is a
    classic queue: browsing keeps its order and never counts against a delivery limit (decision 0004).
    So is the queue of notes on suspects, which are read and put back (0023). What waits in a retry queue
    expires back into the work queue, at-least-once (0024).
    """
    queue = Queue(
        worker.queue,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": settings.queue.delivery_limit,
            **_dead_letters_to(worker.dead_letter_queue),
        },
    )
    letters = Queue(worker.dead_letter_queue, {"x-queue-type": "classic"})
    notes = Queue(worker.suspects_queue, {"x-queue-type": "classic", "x-message-ttl": NOTES_KEPT})
    delays = rungs(settings.retry) if may_be_late(worker) else ()
    return Topology(queue, (letters, notes, *(_retry_queue(worker, delay) for delay in delays)), worker.bindings)


def _retry_queue(worker: Worker, delay: int) -> Queue:
    arguments = {"x-queue-type": "quorum", "x-message-ttl": delay, **_dead_letters_to(worker.queue)}
    return Queue(retry_queue(worker.queue, delay), arguments)


def _dead_letters_to(queue: str) -> dict[str, str | int]:
    """Arguments of a quorum queue whose dead letters go to another queue, and stay until they are there."""
    return {
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": queue,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
