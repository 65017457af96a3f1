"""Where records go that leave a worker for another queue: retry queues in memory, and no suspects."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from penstock.errors import LinkError
from penstock.handover import Handover
from penstock.retry_later import RetryQueues
from penstock.suspects import Suspects

if TYPE_CHECKING:
    from penstock.deadletter.sender import DeadLetters
    from penstock.delivery import Delivery
    from penstock.metrics import Metrics
    from penstock.outcome import Refusal
    from penstock.publish_link import PublishLink
    from penstock.settings import Settings
    from penstock.worker import Worker


class Retries(RetryQueues):
    """Retry queues that take each record with its delay in milliseconds, unless they are `away`."""

    def __init__(self) -> None:
        self.away = False
        self.taken: list[tuple[Delivery, int]] = []

    async def publish(self, delivery: Delivery, _refusal: Refusal, _key: str | None, delay: int) -> None:
        if self.away:
            raise LinkError("the broker is away")
        self.taken.append((delivery, delay))


def handover(letters: object, retries: object, metrics: Metrics) -> Handover:
    """A handover to what stands for a DLQ and for retry queues."""
    return Handover(cast("DeadLetters", letters), cast("RetryQueues", retries), metrics)


def suspects_of(worker: Worker, settings: Settings, metrics: Metrics) -> Suspects:
    """The suspects of a worker that has no broker, and so gets none."""
    return Suspects(worker, settings, cast("PublishLink", None), metrics)
