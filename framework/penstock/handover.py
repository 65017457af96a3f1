"""Hands a record over to another queue: the DLQ, or a retry queue. It is settled only once that is confirmed."""

from __future__ import annotations

from typing import TYPE_CHECKING, assert_never

import structlog

from penstock.errors import NotRouted
from penstock.ladder import attempts_of
from penstock.settlement import DeadLetter, RetryLater

if TYPE_CHECKING:
    from penstock.deadletter.sender import DeadLetters
    from penstock.metrics import Metrics
    from penstock.retry_later import RetryQueues
    from penstock.settlement import Decided

log = structlog.get_logger(__name__)


class Handover:
    """Publishes the records of one worker that are not done with where they are."""

    def __init__(self, dead_letters: DeadLetters, retry_queues: RetryQueues, metrics: Metrics) -> None:
        self._dead_letters = dead_letters
        self._retry_queues = retry_queues
        self._metrics = metrics

    async def publish(self, one: Decided, settlement: DeadLetter | RetryLater) -> DeadLetter | RetryLater:
        """Returns once it is confirmed in its new place, and which that is; raises LinkError.

        The delivery is not settled by that. A record whose retry queue is missing is a dead letter: it would hold up
        all others until somebody comes.
        """
        try:
            await self._publish(one, settlement)
        except NotRouted as error:
            if isinstance(settlement, DeadLetter):
                raise
            log.warning("retry_queue_missing", error=str(error))
            return await self.publish(one, DeadLetter(settlement.refusal))
        return settlement

    async def _publish(self, one: Decided, settlement: DeadLetter | RetryLater) -> None:
        match settlement:
            case DeadLetter(refusal):
                await self._dead_letters.publish(one.delivery, refusal, one.key, one.at)
                self._metrics.dead_lettered(refusal.reason)
                say, event, more = log.warning, "dead_lettered", {}
            case RetryLater(refusal, delay):
                await self._retry_queues.publish(one.delivery, refusal, one.key, delay)
                attempt = attempts_of(one.delivery.headers) + 1
                say, event, more = log.info, "retried_later", {"attempt": attempt, "in_seconds": delay / 1000}
            case _:
                assert_never(settlement)
        say(
            event,
            reason=refusal.reason,
            error_class=refusal.error_class,
            message_id=one.delivery.properties.message_id,
            key=one.key,
            **more,
        )
