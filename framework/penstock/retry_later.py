"""Retry queues: the broker brings a record back from there to the work queue, once its delay is over."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from penstock.broker import close, connect, look_at
from penstock.deadletter.letter import ATTEMPTS_HEADER, broker_independent, encodable, sendable
from penstock.delivery import ORIGIN_HEADERS
from penstock.idempotency import KEY_HEADER, digest, header_key
from penstock.ladder import attempts_of, retry_queue, rungs
from penstock.worker import may_be_late

if TYPE_CHECKING:
    from penstock.clock import Clock
    from penstock.delivery import Delivery
    from penstock.outcome import Refusal
    from penstock.publish_link import PublishLink
    from penstock.settings import Settings
    from penstock.worker import Worker

#: When and why the last turns failed: a list of texts, the latest last.
HISTORY_HEADER = "penstock-attempt-history"
#: So many of them are kept, and so many characters of an error class.
LONGEST_HISTORY = 10
LONGEST_CLASS = 100


def retry_headers(delivery: Delivery, refusal: Refusal, key: str | None, now: float) -> dict[str, Any]:
    """The headers of a message that is tried again later; `now` in epoch seconds.

    The publisher's own stay, and where the message came from; what the broker wrote goes, since RabbitMQ takes a
    message for one that goes in circles where an old x-death says so.
    """
    kept = broker_independent(delivery.headers)
    attempt = attempts_of(kept) + 1
    when = datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds")
    entry = f"{when} {refusal.reason} {refusal.error_class[:LONGEST_CLASS]}"
    return {
        **kept,
        **dict(zip(ORIGIN_HEADERS, delivery.origin, strict=True)),
        ATTEMPTS_HEADER: attempt,
        HISTORY_HEADER: [*_history(kept), entry][-LONGEST_HISTORY:],
        KEY_HEADER: key or header_key(delivery.headers) or digest(delivery.body),
    }


def _history(headers: dict[str, Any]) -> list[Any]:
    found = headers.get(HISTORY_HEADER)
    return [encodable(one) for one in found] if isinstance(found, list) else []


class RetryQueues:
    """The retry queues of one worker, for what is put into them."""

    def __init__(self, worker: Worker, publisher: PublishLink, clock: Clock) -> None:
        self._worker = worker
        self._publisher = publisher
        self._clock = clock

    async def publish(self, delivery: Delivery, refusal: Refusal, key: str | None, delay: int) -> None:
        """Put a delivery into the queue of a delay in milliseconds. Returns once it is confirmed; raises LinkError."""
        headers = retry_headers(delivery, refusal, key, self._clock.now())
        properties = sendable(delivery.properties, headers)
        await self._publisher.publish("", retry_queue(self._worker.queue, delay), delivery.body, properties)


async def waiting(worker: Worker, settings: Settings) -> int:
    """How many messages wait in the retry queues of a worker. Raises LinkError."""
    connection = await connect(settings.rabbitmq, f"{worker.name} look")
    try:
        delays = rungs(settings.retry) if may_be_late(worker) else ()
        return sum([(await look_at(connection, retry_queue(worker.queue, delay)))[0] for delay in delays])
    finally:
        await close(connection)
