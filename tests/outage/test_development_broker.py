"""The development broker is killed, filled up, started twice and fed with garbage: nothing confirmed is lost."""

from __future__ import annotations

import asyncio
import random
import socket
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import aio_pika
import pytest
from aiormq.exceptions import AMQPError
from pamqp.commands import Basic, Connection, Queue

from penstock.drill.servers import running
from penstock.drill.servers.daemon import Daemon
from penstock.drill.servers.embedded import development_broker
from penstock.drill.servers.wait import wait_until
from penstock.embedded.broker import BrokerPart
from penstock.embedded.part import Place, environment
from penstock.errors import LinkError
from support.amqp import channel, depth_becomes, next_of, put, wire
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage

    from penstock.drill.servers.native import NativeServer

WORK = {"x-queue-type": "quorum", "x-delivery-limit": 1000}
#: What may wait for its confirm at one time.
WINDOW = 500
#: How large the journal's files may get where the disk is full, in bytes.
DISK = 2_000_000


@pytest.fixture
def broker() -> Iterator[NativeServer]:
    with running(development_broker()) as server:
        yield server


def body_of(number: int) -> bytes:
    return f"{number}:".encode() + random.Random(number).randbytes(200)


async def publish(opened: AbstractChannel, numbers: Sequence[int], confirmed: list[int]) -> None:
    """Publish persistent messages in order, many at a time; `confirmed` gets the numbers of those that are."""

    async def one(number: int) -> None:
        await put(opened, "work", body_of(number))
        confirmed.append(number)

    for start in range(0, len(numbers), WINDOW):
        await asyncio.gather(*map(one, numbers[start : start + WINDOW]))


async def declare(url: str) -> None:
    async with channel(url) as opened:
        await opened.declare_queue("work", durable=True, arguments=dict(WORK))


async def all_of(url: str) -> list[AbstractIncomingMessage]:
    """Every message of the queue, acknowledged, in the order of the deliveries."""
    found: list[AbstractIncomingMessage] = []

    async def take(message: AbstractIncomingMessage) -> None:
        found.append(message)
        await message.ack()

    async with channel(url) as opened:
        queue = await opened.declare_queue("work", passive=True)
        count = queue.declaration_result.message_count or 0
        await opened.set_qos(1000)
        await queue.consume(take)
        await until(lambda: len(found) == count, f"all {count}", 60)
    return found


async def test_twenty_thousand_confirmed_messages_survive_a_kill(broker: NativeServer) -> None:
    confirmed: list[int] = []
    await declare(broker.url)
    async with channel(broker.url) as opened:
        await publish(opened, range(20_000), confirmed)
        broker.kill()
    assert len(confirmed) == 20_000
    await asyncio.to_thread(broker.start)
    found = await all_of(broker.url)
    assert [message.body for message in found] == [body_of(number) for number in range(20_000)]
    assert not any(message.redelivered for message in found)


async def test_killed_while_it_is_published_to_and_consumed(broker: NativeServer) -> None:
    """Every confirmed message was delivered or is still there, in order; what may have been delivered says so."""
    confirmed: list[int] = []
    seen: list[bytes] = []
    await declare(broker.url)

    async def see(message: AbstractIncomingMessage) -> None:
        seen.append(message.body)

    async with channel(broker.url) as opened, channel(broker.url) as consuming:
        publishing = asyncio.create_task(publish(opened, range(100_000), confirmed))
        await consuming.set_qos(300)
        await (await consuming.get_queue("work")).consume(see)
        await until(lambda: len(confirmed) > 3000, "3,000 confirms")
        await asyncio.to_thread(broker.kill)
        with suppress(AMQPError, ConnectionError, RuntimeError, asyncio.CancelledError):
            await publishing
    await asyncio.to_thread(broker.start)
    found = await all_of(broker.url)
    numbers = [int(message.body.split(b":")[0]) for message in found]
    assert numbers == list(range(len(found)))
    assert [message.body for message in found] == [body_of(number) for number in numbers]
    assert set(confirmed) <= set(numbers)
    assert {message.body for message in found if message.redelivered} >= set(seen)
    assert not found[-1].redelivered


async def test_a_clean_restart_keeps_what_is_not_settled_and_nothing_else(broker: NativeServer) -> None:
    await declare(broker.url)
    async with channel(broker.url) as opened:
        exchange = await opened.declare_exchange("events", aio_pika.ExchangeType.TOPIC, durable=True)
        queue = await opened.get_queue("work")
        await queue.bind(exchange, "a.#")
        passing = await opened.declare_queue("passing")
        await put(opened, "passing", b"gone")
        for number in range(5):
            await exchange.publish(aio_pika.Message(b"%d" % number, delivery_mode=2), "a.b")
        messages = [await next_of(queue) for _ in range(4)]
        await messages[0].ack()
        await messages[2].ack()
        await messages[3].nack(requeue=True)
        await depth_becomes(opened, queue, 2)
        await depth_becomes(opened, passing, 1)
        await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    found = await all_of(broker.url)
    assert [(message.body, message.redelivered) for message in found] == [(b"1", True), (b"3", True), (b"4", False)]
    assert [message.headers.get("x-delivery-count") for message in found] == [None, 1, None]
    async with channel(broker.url) as opened:
        await (await opened.get_exchange("events")).publish(aio_pika.Message(b"bound"), "a.b.c")
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await opened.get_queue("passing")
    assert [message.body for message in await all_of(broker.url)] == [b"bound"]
    await asyncio.to_thread(broker.kill)
    await asyncio.to_thread(broker.start)
    assert await all_of(broker.url) == []


async def test_what_comes_after_an_empty_restart_was_never_delivered(broker: NativeServer) -> None:
    await declare(broker.url)
    async with channel(broker.url) as opened:
        await put(opened, "work", *(body_of(number) for number in range(5)))
    assert len(await all_of(broker.url)) == 5
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    async with channel(broker.url) as opened:
        await put(opened, "work", body_of(5))
    await asyncio.to_thread(broker.stop)
    await asyncio.to_thread(broker.start)
    assert [(message.body, message.redelivered) for message in await all_of(broker.url)] == [(body_of(5), False)]


async def test_sigterm_tells_the_clients_and_ends_well(broker: NativeServer) -> None:
    async with wire(broker.address) as client:
        assert isinstance(await client.open(broker.address), Connection.OpenOk)
        stopping = asyncio.create_task(asyncio.to_thread(broker.stop))
        _, answer = await client.read()
        assert isinstance(answer, Connection.Close)
        assert answer.reply_code == 320
        await stopping
    assert "broker_stopped" in broker.daemon.tail()


async def test_a_full_disk_ends_it_in_one_line_and_loses_nothing_confirmed(broker: NativeServer) -> None:
    await declare(broker.url)
    broker.stop()
    small = replace(broker, daemon=limited(broker.daemon))
    small.start()
    confirmed: list[int] = []
    try:
        async with channel(broker.url) as opened:
            with pytest.raises((AMQPError, ConnectionError, RuntimeError, asyncio.CancelledError)):
                await publish(opened, range(100_000), confirmed)
        await until(lambda: not small.daemon.running, "its end")
    finally:
        small.daemon.kill()
    assert confirmed
    complaint = last_line(broker)
    assert complaint.startswith("penstock broker: the journal ")
    assert "journal.sqlite cannot be used: " in complaint
    assert "free some space on its disk" in complaint
    await asyncio.to_thread(broker.start)
    numbers = [int(message.body.split(b":")[0]) for message in await all_of(broker.url)]
    assert numbers == list(range(len(numbers)))
    assert set(confirmed) <= set(numbers)


async def test_a_port_that_is_taken(broker: NativeServer) -> None:
    broker.stop()
    with socket.create_server(("127.0.0.1", broker.address.port)):
        broker.daemon.spawn()
        wait_until(lambda: not broker.daemon.running, 20, "its end")
    wanted = f"cannot listen on port {broker.address.port} of 127.0.0.1: Address already in use: end what listens there"
    assert wanted in last_line(broker)
    broker.daemon.kill()
    broker.start()


async def test_a_folder_that_another_broker_serves(broker: NativeServer) -> None:
    second = Daemon(
        [*broker.daemon.command[:-1], "1"],
        folder=broker.daemon.folder,
        log=broker.daemon.log,
        environment=broker.daemon.environment,
    )
    second.spawn()
    wait_until(lambda: not second.running, 20, "its end")
    line = last_line(broker)
    assert f"the journal {broker.daemon.folder}/journal.sqlite is held by process " in line
    assert line.endswith("stop that one first")
    await declare(broker.url)


async def test_a_ping_needs_the_login_and_no_password_is_told(broker: NativeServer) -> None:
    part = BrokerPart()
    place = Place(broker.daemon.folder, broker.address.port, part.username, "s3cret: / & word")
    broker.stop()
    part.prepare(place)
    broker.daemon.spawn()
    wait_until(lambda: '"broker_started", "port"' in broker.daemon.tail().splitlines()[-1], 20, "it listens")
    await part.ping(place)
    with pytest.raises(LinkError, match="ACCESS_REFUSED - Login was refused"):
        await part.ping(replace(place, password="n0t the one"))
    async with channel(part.url(place)) as opened:
        await opened.declare_queue("work", durable=True)
    command = part.command(place)
    assert (broker.daemon.folder / "login").stat().st_mode & 0o777 == 0o600
    log = broker.daemon.log.read_text()
    assert "connection_refused" in log
    for secret in ("s3cret", "n0t the one"):
        assert secret not in repr((command.words, environment(command), place))
        assert secret not in log
    broker.daemon.kill()
    with pytest.raises(OSError, match="Connect call failed"):
        await part.ping(place)


async def test_garbage_harms_nobody_else(broker: NativeServer) -> None:
    chance = random.Random(4)
    await declare(broker.url)
    async with channel(broker.url) as opened:
        for number in range(60):
            async with wire(broker.address) as client:
                if number % 2:
                    assert isinstance(await client.open(broker.address), Connection.OpenOk)
                    await client.open_channel()
                kind, size = chance.choice([1, 1, 2, 3, 8]), chance.randrange(40)
                payload = chance.choice([b"\x00\x3c\x00\x28", b"\x00\x32\x00\x0a", b""]) + chance.randbytes(size)
                whole = bytes([kind, 0, 1]) + len(payload).to_bytes(4, "big") + payload + b"\xce"
                with suppress(ConnectionError):
                    client.writer.write(whole if number % 3 else chance.randbytes(300))
                    await client.writer.drain()
            await put(opened, "work", b"%d" % number)
    assert [message.body for message in await all_of(broker.url)] == [b"%d" % number for number in range(60)]
    assert broker.daemon.running
    assert "in the development broker, " not in broker.daemon.log.read_text()


async def test_a_consumer_that_does_not_read_gets_no_more_until_it_does(broker: NativeServer) -> None:
    count, body = 400, bytes(100_000)
    await declare(broker.url)
    async with channel(broker.url) as opened, wire(broker.address) as slow:
        for _ in range(count):
            await put(opened, "work", body)
        await slow.open(broker.address)
        await slow.open_channel()
        slow.send(Basic.Consume(queue="work"), channel=1)
        queue = await opened.get_queue("work")
        # What the sockets hold goes out; most of the 40 MB stays in the queue.
        await until_steady(opened, queue.name)
        assert (await opened.declare_queue("work", passive=True)).declaration_result.message_count > count / 2
        delivered = 0
        while delivered < count:
            delivered += isinstance((await slow.read())[1], Basic.Deliver)
        slow.send(Basic.Ack(0, multiple=True), Queue.Purge(queue="work"), channel=1)
        await depth_becomes(opened, queue, 0)


async def until_steady(opened: AbstractChannel, name: str) -> None:
    """Return when as many messages are ready as before, several looks in a row."""
    depths: list[int | None] = []
    async with asyncio.timeout(20):
        while len(depths) < 20 or len(set(depths[-20:])) > 1:
            queue = await opened.declare_queue(name, passive=True)
            depths.append(queue.declaration_result.message_count)


def limited(daemon: Daemon) -> Daemon:
    """The same program where no file may grow beyond DISK bytes, as if the disk were full then."""
    return Daemon(
        ["prlimit", f"--fsize={DISK}", "--", *daemon.command],
        folder=daemon.folder,
        log=daemon.log,
        environment=daemon.environment,
    )


def last_line(broker: NativeServer) -> str:
    return broker.daemon.tail().splitlines()[-1]
