"""Letters put into a DLQ past all of Penstock, and looked at there."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import aio_pika

from support import broker

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from aio_pika.abc import AbstractIncomingMessage

#: Before anything that a test writes, and not yet older than ledger.age.
LONG_AGO = datetime.now(UTC) - timedelta(days=1)


def headers(key: str, **more: Any) -> dict[str, Any]:
    """Those of a letter that Penstock wrote; `more` by their names, with _ for - and without penstock-."""
    own = {
        "error_reason": "invalid",
        "error_class": "ValidationError",
        "error_message": "number: Input should be a valid integer",
        "original_exchange": "shop",
        "original_routing_key": "order",
        "worker": "any",
        "attempts": 1,
        "failed_at": LONG_AGO.isoformat(timespec="milliseconds"),
        "replays": 0,
        "key": key,
        **more,
    }
    return {f"penstock-{name.replace('_', '-')}": value for name, value in own.items()}


async def put(url: str, queue: str, letters: Iterable[tuple[bytes, Mapping[str, Any]]], **properties: Any) -> None:
    """Publish letters, each a body and its headers, to a durable classic queue that is made if it is not there."""
    async with broker.channel(url) as opened:
        await opened.declare_queue(queue, durable=True, arguments={"x-queue-type": "classic"})
        for number, (body, held) in enumerate(letters):
            message = aio_pika.Message(
                body,
                headers=dict(held),
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                message_id=f"m-{number}",
                **properties,
            )
            await opened.default_exchange.publish(message, queue)


async def look(url: str, queue: str) -> list[AbstractIncomingMessage]:
    """Every letter of a queue, in order; they stay."""
    found: list[AbstractIncomingMessage] = []
    async with broker.channel(url) as opened:
        source = await opened.get_queue(queue)
        while (message := await source.get(fail=False)) is not None:
            found.append(message)
    return found


def content(message: AbstractIncomingMessage) -> tuple[Any, ...]:
    """All that a message says, for comparison."""
    properties = message.properties
    return message.body, [(name, value) for name, value in properties if name != "cluster_id"]
