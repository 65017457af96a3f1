"""The queues and exchanges a worker needs, as data; `broker.ensure_topology` makes or checks them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.settings import QueueSettings
    from penstock.worker import Binding, Worker


@dataclass(frozen=True, slots=True, eq=False)
class Queue:
    """A durable queue and its arguments."""

    name: str
    arguments: Mapping[str, str | int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Topology:
    """What must exist before a worker can consume: its queues, and the bindings of the first of them."""

    queue: Queue
    dead_letter_queue: Queue
    bindings: tuple[Binding, ...]


def topology_of(worker: Worker, settings: QueueSettings) -> Topology:
    """The topology of a worker.

    The work queue is a quorum queue. What the broker itself gives up on (delivery limit, expiry) goes
    to the same DLQ at-least-once, for which RabbitMQ asks for overflow=reject-publish. The DLQ is a
    classic queue: browsing keeps its order and never counts against a delivery limit (decision 0004).
    """
    queue = Queue(
        worker.queue,
        {
            "x-queue-type": "quorum",
            "x-delivery-limit": settings.delivery_limit,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": worker.dead_letter_queue,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
        },
    )
    return Topology(queue, Queue(worker.dead_letter_queue, {"x-queue-type": "classic"}), worker.bindings)
