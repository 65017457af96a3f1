"""Dead letters made by the broker: their headers, and the cycles that RabbitMQ cuts.

Source of the rules: https://www.rabbitmq.com/docs/dlx
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal, cast

from penstock.embedded.broker.message import Message
from penstock.embedded.broker.properties import expiration_of, header, headers_of, with_headers, without_expiration

if TYPE_CHECKING:
    from pamqp.common import FieldTable, FieldValue

    from penstock.embedded.broker.queue import Queue

Reason = Literal["rejected", "expired", "maxlen", "delivery_limit"]


def dead_letter(message: Message, queue: Queue, reason: Reason, now: float) -> Message:
    """The message as it leaves `queue` for its dead-letter exchange. `now` is in epoch seconds.

    Its time to live goes, so that it does not expire again where it is going.
    """
    routing_key = queue.arguments.dead_letter_routing_key
    death: FieldTable = {
        "count": 1,
        "reason": reason,
        "queue": queue.name,
        "time": datetime.fromtimestamp(int(now), UTC),
        "exchange": message.exchange,
        "routing-keys": [message.routing_key],
    }
    if (expiration := expiration_of(message.properties)) is not None:
        death["original-expiration"] = expiration
    facts: dict[str, FieldValue] = {"reason": reason, "queue": queue.name, "exchange": message.exchange}
    known = headers_of(message.properties) if message.died else {}
    # They take the place of what a client wrote under the same names, as in RabbitMQ 4.
    headers: dict[str, FieldValue] = {
        **{f"x-first-death-{name}": fact for name, fact in facts.items() if f"x-first-death-{name}" not in known},
        **{f"x-last-death-{name}": fact for name, fact in facts.items()},
        "x-death": [*_with(deaths(message), death)],
    }
    properties = with_headers(without_expiration(message.properties), headers)
    return Message(
        queue.arguments.dead_letter_exchange or "",
        message.routing_key if routing_key is None else routing_key,
        properties,
        message.body,
        died=True,
    )


def deaths(message: Message) -> list[FieldTable]:
    """The deaths of a message by queue and reason, the latest first."""
    return cast("list[FieldTable]", header(message.properties, "x-death")) if message.died else []


def goes_in_circles(letter: Message, queue: Queue) -> bool:
    """Whether a dead letter was in `queue` before and nobody has rejected it since: such a cycle would never end."""
    for death in deaths(letter):
        if death["reason"] == "rejected":
            return False
        if death["queue"] == queue.name:
            return True
    return False


def _with(earlier: list[FieldTable], death: FieldTable) -> list[FieldTable]:
    """The deaths with one more; those of one queue and reason are counted together."""
    for one in earlier:
        if (one["queue"], one["reason"]) == (death["queue"], death["reason"]):
            others = [other for other in earlier if other is not one]
            return [{**one, "count": cast("int", one["count"]) + 1}, *others]
    return [death, *earlier]
