"""A delivery as it is kept outside the broker (spill, records that a backup took): it comes back with the same key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pamqp.header import ContentHeader

from penstock.deadletter.letter import broker_independent, sendable
from penstock.delivery import NO_GENERATION, Delivery
from penstock.idempotency import KEY_HEADER
from penstock.message import Message

if TYPE_CHECKING:
    from penstock.record import Record


def message_of(record: Record) -> Message:
    """The message of a record: body, exchange, routing key and properties as they came, and the record's key.

    Headers that the broker wrote are left out, and all but Penstock's own where they cannot be sent again.
    """
    delivery = record.delivery
    properties = sendable(delivery.properties, broker_independent(delivery.headers) | {KEY_HEADER: record.key})
    encoded = ContentHeader(0, len(delivery.body), properties).marshal()
    message_id = delivery.properties.message_id or record.key
    return Message(message_id, delivery.exchange, delivery.routing_key, encoded, delivery.body)


def delivery_of(message: Message) -> Delivery:
    """The delivery again, for the codec; it belongs to no channel and is not to be settled."""
    return Delivery(
        generation=NO_GENERATION,
        tag=0,
        body=message.body,
        exchange=message.exchange,
        routing_key=message.routing_key,
        redelivered=False,
        properties=message.decoded(),
    )
