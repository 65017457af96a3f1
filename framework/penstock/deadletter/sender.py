"""Sends dead letters: a message that is refused for good goes to the worker's own DLQ."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.deadletter.letter import letter_headers, sendable

if TYPE_CHECKING:
    from penstock.delivery import Delivery
    from penstock.outcome import Refusal
    from penstock.publish_link import PublishLink
    from penstock.worker import Worker


class DeadLetters:
    """Publishes the dead letters of one worker."""

    def __init__(self, worker: Worker, publisher: PublishLink) -> None:
        self._worker = worker
        self._publisher = publisher

    async def publish(self, delivery: Delivery, refusal: Refusal, key: str | None, at: float) -> None:
        """Put a delivery that failed at that time in the DLQ, its body as it came. `at` in epoch seconds.

        Returns once that is confirmed; raises LinkError.
        """
        headers = letter_headers(delivery, refusal, self._worker.name, key, at)
        properties = sendable(delivery.properties, headers)
        await self._publisher.publish("", self._worker.dead_letter_queue, delivery.body, properties)
