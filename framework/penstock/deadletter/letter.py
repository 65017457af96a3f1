"""What a dead letter is made of: the message as it was, and headers that say what happened to it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pamqp.header import ContentHeader

from penstock.delivery import LEFT_OUT_HEADER, ORIGIN_HEADERS
from penstock.field_table import NOT_AMQP, ExactProperties
from penstock.idempotency import KEY_HEADER, header_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.commands import Basic

    from penstock.delivery import Delivery
    from penstock.outcome import Refusal

#: Characters of an error message kept in a header.
LONGEST_MESSAGE = 2048

#: Bytes of properties that fit in the frame they must fit in (131,072 by default), with room to spare.
LARGEST_HEADER = 128_000

#: What a count in a header may be at most, so that one more can still be sent.
LARGEST_COUNT = 2**31

#: What the names of all our headers begin with.
OWN_PREFIX = "penstock-"
#: Why a letter was refused, by whom, and when.
REASON_HEADER = "penstock-error-reason"
CLASS_HEADER = "penstock-error-class"
MESSAGE_HEADER = "penstock-error-message"
WORKER_HEADER = "penstock-worker"
FAILED_AT_HEADER = "penstock-failed-at"
#: How many turns a message has had, which failed; what waits in a retry queue carries it as well.
ATTEMPTS_HEADER = "penstock-attempts"
#: How often the message has been replayed.
REPLAYS_HEADER = "penstock-replays"

#: Headers that the broker writes and reads itself: sent along they would be believed or ignored, never understood.
#: CC and BCC would route copies of the letter to the queues they name, the work queue perhaps.
BROKER_HEADERS = frozenset({"x-death", "x-delivery-count", "x-acquired-count", "CC", "BCC"})
BROKER_PREFIXES = ("x-first-death-", "x-last-death-")


def letter_headers(delivery: Delivery, refusal: Refusal, worker: str, key: str | None, now: float) -> dict[str, Any]:
    """The headers of a dead letter: the publisher's own, and penstock-* for what happened. `now` in epoch seconds.

    What could not be decoded has no key yet, unless its publisher gave it one: it gets that of its record later.
    """
    kept = broker_independent(delivery.headers)
    known = key or header_key(delivery.headers)
    return {
        **kept,
        **({KEY_HEADER: known} if known else {}),
        REASON_HEADER: refusal.reason,
        CLASS_HEADER: refusal.error_class,
        MESSAGE_HEADER: refusal.message[:LONGEST_MESSAGE],
        **dict(zip(ORIGIN_HEADERS, delivery.origin, strict=True)),
        WORKER_HEADER: worker,
        ATTEMPTS_HEADER: count(kept.get(ATTEMPTS_HEADER)) + 1,
        FAILED_AT_HEADER: datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        REPLAYS_HEADER: count(kept.get(REPLAYS_HEADER)),
    }


def broker_independent(headers: Mapping[str, Any]) -> dict[str, Any]:
    """The headers that a message can be sent with again: those which the broker writes and reads itself are gone."""
    return {
        name: encodable(value)
        for name, value in headers.items()
        if name not in BROKER_HEADERS and not name.startswith(BROKER_PREFIXES)
    }


def count(value: object) -> int:
    """A number that another stage of Penstock left in a header; 0 for what anybody else may have put there."""
    return value if isinstance(value, int) and 0 <= value < LARGEST_COUNT else 0


def encodable(value: Any) -> Any:
    """A header value that can be sent again: the client reads text that is not UTF-8 as bytes, and sends bytearray."""
    match value:
        case bytes():
            return bytearray(value)
        case list():
            return [encodable(one) for one in value]
        case dict():
            return {name: encodable(one) for name, one in value.items()}
        case _:
            return value


def letter_properties(original: Basic.Properties, headers: dict[str, Any]) -> Basic.Properties:
    """The publisher's properties and the letter's headers.

    Not carried on: expiration (a letter must not vanish) and user_id (RabbitMQ refuses another's).
    """
    return ExactProperties(
        content_type=original.content_type,
        content_encoding=original.content_encoding,
        headers=headers,
        delivery_mode=2,
        priority=original.priority,
        correlation_id=original.correlation_id,
        reply_to=original.reply_to,
        message_id=original.message_id,
        timestamp=original.timestamp,
        message_type=original.message_type,
        app_id=original.app_id,
    )


def sendable(original: Basic.Properties, headers: dict[str, Any]) -> Basic.Properties:
    """The properties with these headers; with Penstock's own alone where all of them cannot be sent."""
    properties = letter_properties(original, headers)
    if can_be_sent(properties):
        return properties
    # Anybody may name a header so; ours are short.
    own = {
        name: value
        for name, value in headers.items()
        if name.startswith(OWN_PREFIX) and len(repr(value)) <= 2 * LONGEST_MESSAGE
    }
    return letter_properties(original, {**own, LEFT_OUT_HEADER: True})


def can_be_sent(properties: Basic.Properties) -> bool:
    """Whether the properties can be encoded and fit in a frame: what cannot would hold up its worker for ever."""
    try:
        return len(ContentHeader(0, 0, properties).marshal()) <= LARGEST_HEADER
    except NOT_AMQP:
        return False
