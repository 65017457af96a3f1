"""What Penstock, its tests and aio-pika's users ask of a broker: the same of RabbitMQ and of the development broker."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import aio_pika
import pytest
from aio_pika.exceptions import (
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
    PublishError,
)
from pamqp.commands import Basic

from support.amqp import channel, depth_becomes, next_of, put
from support.wait import until

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    from penstock.drill.servers import Address

EXCHANGE_TYPES = [
    ("topic", "a.*.c.#", "a.b.c.d", "a.b.d"),
    ("direct", "k", "k", "other"),
]


async def test_it_says_what_it_can(broker: Address) -> None:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        assert connection.transport is not None
        properties: Any = connection.transport.connection.server_properties
    assert properties["product"]
    assert properties["version"]
    assert {name for name, value in properties["capabilities"].items() if value} >= {
        "publisher_confirms",
        "exchange_exchange_bindings",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "per_consumer_qos",
        "authentication_failure_close",
    }


async def test_a_confirmed_message_comes_with_its_properties(broker: Address, name: str) -> None:
    async with channel(broker.url, publisher_confirms=True) as opened:
        queue = await opened.declare_queue(name, durable=True)
        message = aio_pika.Message(
            b"body", delivery_mode=aio_pika.DeliveryMode.PERSISTENT, message_id="m1", headers={"number": 1, "text": "t"}
        )
        assert isinstance(await opened.default_exchange.publish(message, name), Basic.Ack)
        found = await queue.get()
        assert (found.body, found.message_id, dict(found.headers)) == (b"body", "m1", {"number": 1, "text": "t"})
        assert (found.redelivered, found.routing_key, found.exchange) == (False, name, "")
        await found.ack()
        await queue.delete()


async def test_a_mandatory_message_that_no_queue_takes_is_returned(broker: Address, name: str) -> None:
    async with channel(broker.url, publisher_confirms=True, on_return_raises=True) as opened:
        with pytest.raises(PublishError):
            await opened.default_exchange.publish(aio_pika.Message(b"x"), name, mandatory=True)
        # The channel is as good as before.
        queue = await opened.declare_queue(name)
        await put(opened, queue, b"y")
        await (await next_of(queue)).ack()
        await queue.delete()


async def test_nack_and_reject_put_it_back_and_mark_it(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name)
        await put(opened, queue, b"x")
        first = await next_of(queue)
        assert not first.redelivered
        await first.nack(requeue=True)
        second = await next_of(queue)
        assert second.redelivered
        await second.reject(requeue=True)
        third = await next_of(queue)
        assert (third.body, third.redelivered) == (b"x", True)
        await third.ack()
        await queue.delete()


async def test_a_rejected_message_goes_to_the_dead_letter_exchange(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        exchange = await opened.declare_exchange(f"{name}.dlx")
        letters = await opened.declare_queue(f"{name}.dlq")
        await letters.bind(exchange, "dead")
        arguments = {"x-dead-letter-exchange": exchange.name, "x-dead-letter-routing-key": "dead"}
        queue = await opened.declare_queue(name, arguments=arguments)
        await put(opened, queue, b"x", headers={"own": "value"})
        await (await next_of(queue)).nack(requeue=False)
        letter = await next_of(letters)
        assert (letter.body, letter.headers["own"], letter.routing_key) == (b"x", "value", "dead")
        [death] = letter.headers["x-death"]
        assert (death["reason"], death["queue"], death["count"]) == ("rejected", name, 1)
        assert (death["exchange"], death["routing-keys"]) == ("", [name])
        assert letter.headers["x-first-death-reason"] == "rejected"
        await letter.ack()
        await letters.delete()
        await queue.delete()
        await exchange.delete()


@pytest.mark.parametrize(
    ("arguments", "properties"),
    [({"x-message-ttl": 2000}, {}), ({}, {"expiration": 2.0})],
    ids=["the queue's", "its own"],
)
async def test_a_message_that_outlives_its_time_becomes_a_dead_letter(
    broker: Address, name: str, arguments: dict[str, Any], properties: dict[str, Any]
) -> None:
    async with channel(broker.url) as opened:
        letters = await opened.declare_queue(f"{name}.dlq")
        dead = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": letters.name}
        queue = await opened.declare_queue(name, arguments={**arguments, **dead})
        hasty = await opened.declare_queue(f"{name}.hasty", arguments={"x-message-ttl": 1, **dead})
        await put(opened, queue, b"x", **properties)
        await put(opened, hasty, b"later, with less time")
        # It came first and had its time.
        assert (await next_of(letters)).body == b"later, with less time"
        letter = await next_of(letters)
        assert letter.body == b"x"
        [death] = letter.headers["x-death"]
        assert (death["reason"], death["queue"]) == ("expired", name)
        assert letter.expiration is None
        await letter.ack(multiple=True)
        await depth_becomes(opened, queue, 0)
        for one in (letters, queue, hasty):
            await one.delete()


async def test_a_consumer_gets_no_more_than_its_prefetch(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        await opened.set_qos(prefetch_count=3)
        queue = await opened.declare_queue(name)
        await put(opened, queue, *(b"%d" % number for number in range(10)))
        found: list[AbstractIncomingMessage] = []

        async def take(message: AbstractIncomingMessage) -> None:
            found.append(message)

        tag = await queue.consume(take)
        await until(lambda: len(found) == 3, "three deliveries")
        await depth_becomes(opened, queue, 7)
        for message in found[:3]:
            await message.ack()
        await until(lambda: len(found) == 6, "three more")
        await depth_becomes(opened, queue, 4)
        await queue.cancel(tag)
        # Cancelled, and still settled on this channel.
        for message in found[3:]:
            await message.ack()
        assert [message.body for message in found] == [b"%d" % number for number in range(6)]
        await depth_becomes(opened, queue, 4)
        await queue.delete(if_empty=False)


async def test_what_was_not_settled_comes_again_after_the_connection_is_lost(broker: Address, name: str) -> None:
    async with channel(broker.url) as lost:
        queue = await lost.declare_queue(name, durable=True)
        await put(lost, queue, b"x")
        assert not (await next_of(queue)).redelivered
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name, durable=True)
        message = await next_of(queue)
        assert (message.body, message.redelivered) == (b"x", True)
        await message.ack()
        await queue.delete()


@pytest.mark.parametrize(("kind", "bound", "fitting", "other"), EXCHANGE_TYPES)
async def test_an_exchange_routes_by_key(
    broker: Address, name: str, kind: str, bound: str, fitting: str, other: str
) -> None:
    async with channel(broker.url) as opened:
        exchange = await opened.declare_exchange(name, aio_pika.ExchangeType(kind), durable=True)
        queue = await opened.declare_queue(exclusive=True)
        await queue.bind(exchange, bound)
        for key in (other, fitting):
            await exchange.publish(aio_pika.Message(key.encode()), key, mandatory=False)
        message = await next_of(queue)
        assert message.body == fitting.encode()
        await message.ack()
        await depth_becomes(opened, queue, 0)
        await exchange.delete()


async def test_fanout_headers_and_exchanges_bound_to_exchanges(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(exclusive=True)
        fanout = await opened.declare_exchange(f"{name}.fanout", aio_pika.ExchangeType.FANOUT)
        behind = await opened.declare_exchange(f"{name}.behind", aio_pika.ExchangeType.FANOUT)
        headers = await opened.declare_exchange(f"{name}.headers", aio_pika.ExchangeType.HEADERS)
        await behind.bind(fanout)
        await queue.bind(behind)
        await queue.bind(headers, "", arguments={"x-match": "all", "a": 1, "b": "two"})
        await fanout.publish(aio_pika.Message(b"through two"), "any")
        await headers.publish(aio_pika.Message(b"half", headers={"a": 1}), "", mandatory=False)
        await headers.publish(aio_pika.Message(b"all", headers={"a": 1, "b": "two", "c": 3}), "")
        for body in (b"through two", b"all"):
            message = await next_of(queue)
            assert message.body == body
            await message.ack()
        await depth_becomes(opened, queue, 0)
        for exchange in (fanout, behind, headers):
            await exchange.delete()


async def test_what_is_missing_or_otherwise_is_said(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        with pytest.raises(ChannelNotFoundEntity, match=f"no queue '{name}'"):
            await opened.declare_queue(name, passive=True)
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name, durable=True)
        async with channel(broker.url) as other:
            with pytest.raises(ChannelPreconditionFailed, match=f"inequivalent arg 'durable' for queue '{name}'"):
                await other.declare_queue(name, durable=False)
        await queue.delete()


async def test_counts_purge_and_delete(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name)
        await put(opened, queue, *(b"%d" % number for number in range(5)))
        messages = [await next_of(queue) for _ in range(5)]
        await messages[-1].ack(multiple=True)
        await depth_becomes(opened, queue, 0)
        await put(opened, queue, b"x", b"y")
        await depth_becomes(opened, queue, 2)
        assert (await queue.purge()).message_count == 2
        await put(opened, queue, b"z")
        await depth_becomes(opened, queue, 1)
        assert (await queue.delete(if_empty=False, if_unused=False)).message_count == 1
        with pytest.raises(ChannelNotFoundEntity):
            await opened.declare_queue(name, passive=True)


async def test_a_quorum_queue_gives_up_after_its_delivery_limit(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        letters = await opened.declare_queue(f"{name}.dlq", durable=True)
        queue = await opened.declare_queue(
            name,
            durable=True,
            arguments={
                "x-queue-type": "quorum",
                "x-delivery-limit": 2,
                "x-dead-letter-exchange": "",
                "x-dead-letter-routing-key": letters.name,
            },
        )
        await put(opened, queue, b"x")
        counts = []
        for _ in range(3):
            message = await next_of(queue)
            counts.append(message.headers.get("x-delivery-count", 0))
            await message.nack(requeue=True)
        assert counts == [0, 1, 2]
        letter = await next_of(letters)
        assert letter.headers["x-death"][0]["reason"] == "delivery_limit"
        await letter.ack()
        await depth_becomes(opened, queue, 0)
        await letters.delete()
        await queue.delete(if_unused=False, if_empty=False)


async def test_priorities_and_the_longest_a_queue_may_be(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        urgent = await opened.declare_queue(f"{name}.priority", arguments={"x-max-priority": 5})
        for priority in (0, 4, 2):
            await put(opened, urgent, b"%d" % priority, priority=priority)
        await depth_becomes(opened, urgent, 3)
        found = [await next_of(urgent) for _ in range(3)]
        assert [message.body for message in found] == [b"4", b"2", b"0"]
        await found[-1].ack(multiple=True)
        short = await opened.declare_queue(f"{name}.short", arguments={"x-max-length": 3})
        await put(opened, short, *(b"%d" % number for number in range(6)))
        await depth_becomes(opened, short, 3)
        found = [await next_of(short) for _ in range(3)]
        assert [message.body for message in found] == [b"3", b"4", b"5"]
        await found[-1].ack(multiple=True)
        await urgent.delete()
        await short.delete()


async def test_a_body_of_many_frames(broker: Address, name: str) -> None:
    body = bytes(range(256)) * 12_000
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name)
        await put(opened, queue, body, b"")
        assert (await next_of(queue)).body == body
        last = await next_of(queue)
        assert last.body == b""
        await last.ack(multiple=True)
        await queue.delete()


async def test_thousands_come_once_and_in_order(broker: Address, name: str) -> None:
    bodies = [b"%d" % number for number in range(5000)]
    async with channel(broker.url) as opened:
        await opened.set_qos(200)
        queue = await opened.declare_queue(name, durable=True)
        for start in range(0, len(bodies), 250):
            await asyncio.gather(*(put(opened, queue, body) for body in bodies[start : start + 250]))
        found: list[bytes] = []

        async def take(message: AbstractIncomingMessage) -> None:
            found.append(message.body)
            await message.ack()

        await queue.consume(take)
        await until(lambda: len(found) == len(bodies), "all of them", 60)
        assert found == bodies
        await queue.delete(if_unused=False)


async def test_a_robust_connection_and_its_iterator(broker: Address, name: str) -> None:
    connection = await aio_pika.connect_robust(broker.url)
    async with connection:
        opened = await connection.channel()
        queue = await opened.declare_queue(name, durable=True)
        await put(opened, queue, b"x")
        async with queue.iterator() as messages, asyncio.timeout(20):
            async for message in messages:
                async with message.process():
                    assert message.body == b"x"
                break
        await depth_becomes(opened, queue, 0)
        await queue.delete()
