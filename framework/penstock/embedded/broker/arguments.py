"""The arguments a queue may be declared with. Those the development broker does not know it refuses."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, cast

from penstock.embedded.broker.properties import LONGEST_TTL
from penstock.embedded.broker.replies import PRECONDITION_FAILED, ChannelFault, not_emulated

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pamqp.common import FieldTable, FieldValue

#: Returns after which a quorum queue gives a message up where its declaration does not say (RabbitMQ 4.0 and newer).
DEFAULT_DELIVERY_LIMIT = 20
#: What RabbitMQ 4 allows at most; a priority above the queue's own maximum counts as that.
LARGEST_PRIORITY = 255


@dataclass(frozen=True, slots=True)
class QueueArguments:
    """The arguments of a queue, understood. `given` is what was declared, with the type of the queue filled in.

    `message_ttl` is in milliseconds; `delivery_limit` is None where a message may come back without end.
    """

    given: FieldTable = field(default_factory=dict)
    quorum: bool = False
    message_ttl: int | None = None
    max_length: int | None = None
    max_priority: int = 0
    reject_publish: bool = False
    dead_letter_exchange: str | None = None
    dead_letter_routing_key: str | None = None
    at_least_once: bool = False
    delivery_limit: int | None = None


def queue_arguments(queue: str, table: FieldTable) -> QueueArguments:
    """Understand the arguments a queue is declared with. Raises ChannelFault naming the one at fault."""
    given = {"x-queue-type": "classic", **table}
    if given["x-queue-type"] == "stream":
        raise not_emulated("streams")
    for name, value in given.items():
        wrong = _CHECKS[name](value) if name in _CHECKS else f"is unknown here; known are {', '.join(_CHECKS)}"
        if wrong:
            raise _refused(queue, name, wrong)
    quorum = given["x-queue-type"] == "quorum"
    for name in (_CLASSIC_ONLY if quorum else _QUORUM_ONLY) & given.keys():
        raise _refused(queue, name, f"does not go with a {'quorum' if quorum else 'classic'} queue")
    if "x-dead-letter-routing-key" in given and "x-dead-letter-exchange" not in given:
        raise _refused(queue, "x-dead-letter-routing-key", "needs x-dead-letter-exchange")
    # What each may be has been checked just now.
    return _understood(given, cast("Mapping[str, int]", given), cast("Mapping[str, str]", given), quorum=quorum)


def _understood(
    given: FieldTable, numbers: Mapping[str, int], texts: Mapping[str, str], *, quorum: bool
) -> QueueArguments:
    limit = numbers.get("x-delivery-limit", DEFAULT_DELIVERY_LIMIT)
    reject_publish = texts.get("x-overflow") == "reject-publish"
    return QueueArguments(
        given=given,
        quorum=quorum,
        message_ttl=numbers.get("x-message-ttl"),
        max_length=numbers.get("x-max-length"),
        max_priority=numbers.get("x-max-priority", 0),
        reject_publish=reject_publish,
        dead_letter_exchange=texts.get("x-dead-letter-exchange"),
        dead_letter_routing_key=texts.get("x-dead-letter-routing-key"),
        # As in RabbitMQ, which without reject-publish falls back to at-most-once and does not say so.
        at_least_once=reject_publish and texts.get("x-dead-letter-strategy") == "at-least-once",
        delivery_limit=limit if quorum and limit >= 0 else None,
    )


def _refused(queue: str, name: str, wrong: str) -> ChannelFault:
    return ChannelFault(PRECONDITION_FAILED, f"invalid arg '{name}' for queue '{queue}' in vhost '/': it {wrong}")


def _whole(lowest: int, highest: int, value: FieldValue) -> str:
    fits = isinstance(value, int) and not isinstance(value, bool) and lowest <= value <= highest
    return "" if fits else f"must be a whole number from {lowest} to {highest}, not {value!r}"


def _text(value: FieldValue) -> str:
    return "" if isinstance(value, str) else f"must be text, not {value!r}"


def _one_of(allowed: tuple[str, ...], value: FieldValue) -> str:
    return "" if value in allowed else f"must be {' or '.join(allowed)}, not {value!r}"


_ANY_COUNT = 2**31
_CHECKS: dict[str, Callable[[FieldValue], str]] = {
    "x-queue-type": partial(_one_of, ("classic", "quorum")),
    "x-message-ttl": partial(_whole, 0, LONGEST_TTL),
    "x-max-length": partial(_whole, 0, _ANY_COUNT),
    "x-max-priority": partial(_whole, 0, LARGEST_PRIORITY),
    "x-overflow": partial(_one_of, ("drop-head", "reject-publish")),
    "x-dead-letter-exchange": _text,
    "x-dead-letter-routing-key": _text,
    "x-dead-letter-strategy": partial(_one_of, ("at-most-once", "at-least-once")),
    "x-delivery-limit": partial(_whole, -1, _ANY_COUNT),
}
_QUORUM_ONLY = {"x-delivery-limit", "x-dead-letter-strategy"}
_CLASSIC_ONLY = {"x-max-priority"}
