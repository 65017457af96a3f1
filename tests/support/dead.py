"""Messages that the broker dead-letters itself, for each reason that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support import amqp, broker

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractQueue


async def dead_letter_all(url: str, queue: str, dead_letter_queue: str) -> list[str]:
    """Have one message die of each reason in `queue`, which is gone at the end; the reasons, in order."""
    deaths = {"delivery_limit": _returned, "expired": _expired, "maxlen": _crowded_out, "rejected": _rejected}
    async with broker.channel(url) as opened:
        letters = await opened.declare_queue(dead_letter_queue, durable=True, arguments={"x-queue-type": "classic"})
        depth = letters.declaration_result.message_count or 0
        for number, die in enumerate(deaths.values(), 1):
            await die(opened, queue, dead_letter_queue)
            await amqp.depth_becomes(opened, letters, depth + number)
            await opened.queue_delete(queue)
    return list(deaths)


async def _declared(opened: AbstractChannel, queue: str, letters: str, **arguments: int | str) -> AbstractQueue:
    """A quorum queue; `arguments` without x-, and with _ for -."""
    given = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    place = {"x-queue-type": "quorum", "x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters}
    return await opened.declare_queue(queue, durable=True, arguments={**place, **given})


async def _returned(opened: AbstractChannel, queue: str, letters: str) -> None:
    declared = await _declared(opened, queue, letters, delivery_limit=1)
    await amqp.put(opened, queue, b'{"died": "delivery_limit"}', headers={"penstock-key": "k"})
    for _ in range(2):
        await (await amqp.next_of(declared)).reject(requeue=True)


async def _expired(opened: AbstractChannel, queue: str, letters: str) -> None:
    await _declared(opened, queue, letters, message_ttl=1)
    await amqp.put(opened, queue, b'{"died": "expired"}')


async def _crowded_out(opened: AbstractChannel, queue: str, letters: str) -> None:
    await _declared(opened, queue, letters, max_length=1)
    await amqp.put(opened, queue, b'{"died": "maxlen"}', b'{"died": "not"}')


async def _rejected(opened: AbstractChannel, queue: str, letters: str) -> None:
    declared = await _declared(opened, queue, letters)
    await amqp.put(opened, queue, b'{"died": "rejected"}')
    await (await amqp.next_of(declared)).reject(requeue=False)
