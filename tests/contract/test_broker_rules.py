"""The rules of brokers that Penstock's workers rely on: on RabbitMQ and on the development broker."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError
from aiormq.exceptions import ChannelLockedResource
from pamqp import frame
from pamqp.commands import Basic, Channel, Connection, Queue
from pamqp.heartbeat import Heartbeat

from penstock.embedded.broker.exchange import topic_matches, words_of
from support.amqp import channel, depth_becomes, next_of, put, wire
from support.wait import until

if TYPE_CHECKING:
    from aio_pika.abc import AbstractIncomingMessage

    from penstock.drill.servers import Address

TYPES: list[dict[str, Any]] = [{"x-queue-type": "classic"}, {"x-queue-type": "quorum", "x-delivery-limit": 100}]
PATTERNS = ["", "#", "*", "a", "a.#", "#.a", "a.*", "*.a", "a.#.b", "#.#", "*.#", "a.*.#.b", "..", "a..b", "#.*.#"]
KEYS = ["", "a", "b", "a.b", "a.a", "b.a", "a.c.b", "a.c.d.b", ".", "a.", ".a", "a..b", "a.b.a.b"]


def virtual_host(broker: Address) -> str:
    return urlsplit(broker.url).path.removeprefix("/") or "/"


async def test_another_login_is_refused(broker: Address) -> None:
    wrong = replace(broker, url=broker.url.replace(f":{broker.password}@", ":wrong@"))
    async with wire(wrong) as client:
        answer = await client.open(wrong)
        assert isinstance(answer, Connection.Close)
        assert answer.reply_code == 403
        assert (answer.reply_text or "").startswith("ACCESS_REFUSED - Login was refused")


async def test_another_virtual_host_is_refused(broker: Address) -> None:
    async with wire(broker) as client:
        answer = await client.open(broker, "no-such-host")
        assert isinstance(answer, Connection.Close)
        assert answer.reply_code == 530
        assert (answer.reply_text or "").startswith("NOT_ALLOWED - ")
        assert "vhost no-such-host not found" in (answer.reply_text or "")


async def test_another_protocol_is_told_which_one_is_spoken(broker: Address) -> None:
    async with wire(broker) as client:
        client.writer.write(b"GET / HTTP/1.1\r\n\r\n")
        assert (await client.rest())[:4] == b"AMQP"


@pytest.mark.parametrize(
    ("sent", "code"),
    [
        (b"\x09\x00\x01\x00\x00\x00\x00\xce", 501),
        (b"\x01\x00\x01\x00\x00\x00\x05\x00\x14\x00\x0a\x00\xcd", 501),
        (b"\x01\x00\x01\x7f\xff\xff\xff", 501),
        (b"\x01\x00\x07\x00\x00\x00\x0b\x00\x3c\x00\x0a\x00\x00\x00\x00\x00\x01\x00\xce", 504),
        (b"\x03\x00\x01\x00\x00\x00\x01x\xce", 505),
    ],
    ids=["unknown type", "no frame end", "too large", "channel not open", "body without publish"],
)
async def test_a_frame_that_is_none_costs_the_connection(broker: Address, sent: bytes, code: int) -> None:
    async with wire(broker) as client:
        assert isinstance(await client.open(broker, virtual_host(broker)), Connection.OpenOk)
        await client.open_channel()
        client.writer.write(sent)
        _, answer = await client.read()
        assert isinstance(answer, Connection.Close)
        assert answer.reply_code == code


async def test_heartbeats_are_sent_and_a_silent_client_is_dropped(broker: Address) -> None:
    async with wire(broker) as client:
        assert isinstance(await client.open(broker, virtual_host(broker), heartbeat=1), Connection.OpenOk)
        assert (await client.read())[1].name == "Heartbeat"
        # It hears nothing of this client and hangs up, with a last heartbeat or two.
        assert set(await client.rest()) <= set(frame.marshal(Heartbeat(), 0))


@pytest.mark.parametrize("heartbeat", [0, 60_000])
async def test_any_heartbeat_may_be_asked_for(broker: Address, heartbeat: int) -> None:
    async with wire(broker) as client:
        assert isinstance(await client.open(broker, virtual_host(broker), heartbeat), Connection.OpenOk)
        await client.open_channel()


@pytest.mark.parametrize("multiple", [False, True])
async def test_a_tag_settled_twice_costs_the_channel(broker: Address, name: str, *, multiple: bool) -> None:
    async with wire(broker) as client:
        await client.open(broker, virtual_host(broker))
        await client.open_channel()
        client.send(Queue.Declare(queue=name, exclusive=True), channel=1)
        await client.read()
        client.send(Basic.Ack(1, multiple=multiple), channel=1)
        _, answer = await client.read()
        assert isinstance(answer, Channel.Close)
        assert (answer.reply_code, answer.reply_text) == (406, "PRECONDITION_FAILED - unknown delivery tag 1")


@pytest.mark.parametrize("arguments", TYPES, ids=["classic", "quorum"])
async def test_a_closed_channel_returns_what_it_held_in_its_old_order(
    broker: Address, name: str, arguments: dict[str, Any]
) -> None:
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name, durable=True, arguments=arguments)
        await put(opened, queue, *(b"%d" % number for number in range(10)))
        async with channel(broker.url) as other:
            held: list[AbstractIncomingMessage] = []

            async def hold(message: AbstractIncomingMessage) -> None:
                held.append(message)

            await other.set_qos(6)
            await (await other.get_queue(name)).consume(hold)
            await until(lambda: len(held) == 6, "six deliveries")
            await held[1].ack()
            await until(lambda: len(held) == 7, "one more")
            await other.close()
            await depth_becomes(opened, queue, 9)
        found = [await next_of(queue) for _ in range(9)]
        assert [message.body for message in found] == [b"0", *(b"%d" % number for number in range(2, 10))]
        assert [message.redelivered for message in found] == [True] * 6 + [False] * 3
        await found[-1].ack(multiple=True)
        await queue.delete(if_unused=False, if_empty=False)


async def test_a_consumer_is_told_when_its_queue_is_gone(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name)
        told = asyncio.Event()
        underlay = await opened.get_underlay_channel()
        underlay.on_consumer_cancel_callbacks.add(lambda _: told.set())

        async def ignore(_: AbstractIncomingMessage) -> None: ...

        await queue.consume(ignore)
        async with channel(broker.url) as other:
            await (await other.get_queue(name)).delete(if_unused=False)
        async with asyncio.timeout(20):
            await told.wait()


async def test_a_full_queue_may_refuse(broker: Address, name: str) -> None:
    arguments = {"x-max-length": 2, "x-overflow": "reject-publish"}
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name, arguments=arguments)
        await put(opened, queue, b"1", b"2")
        await depth_becomes(opened, queue, 2)
        with pytest.raises(DeliveryError):
            await put(opened, queue, b"3")
        await (await next_of(queue)).ack()
        await depth_becomes(opened, queue, 1)
        await put(opened, queue, b"4")
        found = [await next_of(queue) for _ in range(2)]
        assert [message.body for message in found] == [b"2", b"4"]
        await found[-1].ack(multiple=True)
        await queue.delete()


async def test_an_exclusive_queue_is_its_connections_alone_and_goes_with_it(broker: Address, name: str) -> None:
    async with channel(broker.url) as other:
        async with channel(broker.url) as opened:
            await opened.declare_queue(name, exclusive=True)
            with pytest.raises(ChannelLockedResource):
                await other.declare_queue(name, passive=True)
        async with channel(broker.url) as opened:
            queue = await opened.declare_queue(name, exclusive=True)
            assert queue.declaration_result.message_count == 0


async def test_arguments_that_differ_are_named(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        queue = await opened.declare_queue(name, durable=True, arguments={"x-message-ttl": 1000})
        async with channel(broker.url) as other:
            with pytest.raises(ChannelPreconditionFailed, match=r"inequivalent arg 'x-message-ttl'.* but current is"):
                await other.declare_queue(name, durable=True, arguments={"x-message-ttl": 2000})
        async with channel(broker.url) as other:
            with pytest.raises(ChannelPreconditionFailed, match=r"'x-message-ttl'.*received none but current"):
                await other.declare_queue(name, durable=True)
        await queue.delete()


async def test_topics_fit_as_our_matcher_says(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        exchange = await opened.declare_exchange(name, aio_pika.ExchangeType.TOPIC)
        for pattern in PATTERNS:
            queue = await opened.declare_queue(exclusive=True)
            await queue.bind(exchange, pattern)
            for key in KEYS:
                await exchange.publish(aio_pika.Message(key.encode()), key, mandatory=False)
            wanted = [key for key in KEYS if topic_matches(words_of(pattern), words_of(key))]
            found = []
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                found.append(message.body.decode())
            assert found == wanted, pattern
            await queue.delete()
        await exchange.delete()


async def test_a_dead_letter_that_goes_in_circles_is_cut(broker: Address, name: str) -> None:
    """A queue that expires into itself would never end; one rejected on the way may come back."""
    async with channel(broker.url) as opened:
        first = await opened.declare_queue(
            f"{name}.1",
            arguments={"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}.2"},
        )
        second = await opened.declare_queue(
            f"{name}.2", arguments={"x-dead-letter-exchange": "", "x-dead-letter-routing-key": f"{name}.1"}
        )
        await put(opened, first, b"x")
        await (await next_of(second)).reject(requeue=False)
        again = await next_of(second)
        counts = {(death["queue"], death["reason"]): death["count"] for death in again.headers["x-death"]}
        assert counts == {(first.name, "expired"): 2, (second.name, "rejected"): 1}
        await again.ack()
        await first.delete()
        await second.delete()


async def test_a_queue_that_expires_into_itself_does_so_once(broker: Address, name: str) -> None:
    async with channel(broker.url) as opened:
        everywhere = await opened.declare_exchange(name, aio_pika.ExchangeType.FANOUT)
        alone = await opened.declare_queue(name, arguments={"x-message-ttl": 1, "x-dead-letter-exchange": name})
        witness = await opened.declare_queue(f"{name}.witness")
        for queue in (alone, witness):
            await queue.bind(everywhere)
        for body in (b"1", b"2", b"3"):
            await put(opened, alone, body)
            # If the one before had gone round again, it would have expired before this one: it would be here first.
            assert (await next_of(witness)).body == body
        await depth_becomes(opened, alone, 0)
        for made in (alone, everywhere):
            await made.delete()
        await witness.delete(if_unused=False)


async def test_what_a_client_says_of_its_deaths_is_not_believed(broker: Address, name: str) -> None:
    """A letter that seems to go in circles would be dropped, though it was confirmed: as RabbitMQ 3 still does."""
    async with channel(broker.url) as opened:
        work = await opened.declare_queue(name)
        arguments = {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": name}
        retry = await opened.declare_queue(f"{name}.retry", arguments=arguments)
        died = {"x-death": [{"queue": name, "reason": "expired", "count": 3}], "x-first-death-queue": name}
        await put(opened, work, b"x", headers=dict(died))
        given = await next_of(work)
        assert given.headers == died
        await put(opened, retry, b"told", headers=dict(died))
        await put(opened, retry, b"not told")
        letter = await next_of(work)
        [death] = letter.headers["x-death"]
        assert letter.body == (b"not told" if await believes_clients(broker) else b"told")
        assert (death["queue"], death["reason"], death["count"]) == (retry.name, "expired", 1)
        assert letter.headers["x-first-death-queue"] == retry.name
        await letter.ack(multiple=True)
        await work.delete(if_empty=False)
        await retry.delete(if_empty=False)


async def believes_clients(broker: Address) -> bool:
    connection = await aio_pika.connect(broker.url)
    async with connection:
        assert connection.transport is not None
        properties: Any = connection.transport.connection.server_properties
    return properties["product"] == "RabbitMQ" and int(properties["version"].split(".")[0]) < 4
