"""Letters as Penstock and as the broker make them, without either."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pamqp.commands import Basic

from penstock.deadletter.view import letter_of
from penstock.delivery import NO_GENERATION, Delivery
from support import replays

if TYPE_CHECKING:
    from penstock.deadletter.view import Letter

FAILED_AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)

HEADERS = replays.headers(
    "k-1", worker="orders", attempts=2, replays=1, failed_at=FAILED_AT.isoformat(timespec="milliseconds")
)

#: The only entry of x-death, as RabbitMQ writes it.
DEATH = {
    "count": 1,
    "exchange": "shop",
    "queue": "orders",
    "reason": "delivery_limit",
    "routing-keys": ["order"],
    "time": datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
}


def make_letter(body: bytes = b"{}", *, position: int = 0, queue: str = "orders.dlq", **changed: Any) -> Letter:
    """A letter of ours; headers are `changed` by their names without penstock-, as in error_reason="invalid"."""
    headers = HEADERS | {f"penstock-{name.replace('_', '-')}": value for name, value in changed.items()}
    return letter_with(headers, body, position=position, queue=queue)


def letter_with(
    headers: dict[str, Any] | None, body: bytes = b"{}", *, position: int = 0, queue: str = "orders.dlq"
) -> Letter:
    """A letter with these headers and no others."""
    properties = Basic.Properties(headers=headers, delivery_mode=2)
    delivery = Delivery(
        NO_GENERATION, 0, body, exchange="", routing_key=queue, redelivered=False, properties=properties
    )
    return letter_of(queue, position, delivery)
