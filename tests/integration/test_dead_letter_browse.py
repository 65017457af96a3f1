"""Browsing a DLQ loses nothing and moves nothing, on every broker."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
from pydantic import SecretStr

from penstock.broker import close, connect
from penstock.deadletter.browse import browsing
from penstock.deadletter.queue_kind import queue_kind
from penstock.errors import LinkError, TopologyError, TopologyMissing
from penstock.settings import RabbitMQ
from support import broker, replays

DLQ = "orders.dlq"


pytestmark = pytest.mark.rabbitmq


def rabbit(url: str) -> RabbitMQ:
    return RabbitMQ(url=SecretStr(url))


async def fill(url: str, count: int, size: int = 0) -> None:
    await replays.put(url, DLQ, ((b"%d " % number + b"x" * size, replays.headers("k")) for number in range(count)))


async def contents(url: str) -> list[Any]:
    return [replays.content(letter) for letter in await replays.look(url, DLQ)]


def number_of(held: Any) -> int:
    return int(held.letter.body.split()[0])


async def test_all_are_seen_in_order_and_are_back_in_it(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 1300)
    before = await contents(rabbitmq_url)
    for limit in (None, 700, 1, 5000):
        async with browsing(rabbit(rabbitmq_url), DLQ, limit=limit) as letters:
            assert letters.ready == 1300
            seen = [(number_of(held), held.letter.position, held.letter.queue) async for held in letters]
            # They are held, not copied.
            assert await broker.depth(rabbitmq_url, DLQ) == 1300 - len(seen)
        assert seen == [(number, number, DLQ) for number in range(min(limit or 1300, 1300))]
        assert await broker.depth(rabbitmq_url, DLQ) == 1300
    assert await contents(rabbitmq_url) == before


async def test_a_browse_that_breaks_off_puts_all_back(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 200)
    before = await contents(rabbitmq_url)

    async def break_off() -> None:
        async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
            async for held in letters:
                assert 1 / (50 - number_of(held))

    with pytest.raises(ZeroDivisionError):
        await break_off()
    assert await broker.depth(rabbitmq_url, DLQ) == 200
    assert await contents(rabbitmq_url) == before


async def test_exactly_what_is_removed_is_gone(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 100)
    before = await contents(rabbitmq_url)
    async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
        async for held in letters:
            if number_of(held) % 3 == 0:
                await letters.remove([held.tag])
        await letters.settled()
    assert await contents(rabbitmq_url) == [one for number, one in enumerate(before) if number % 3]


@pytest.mark.parametrize("stay", [set(), {0}, {10, 39, 40, 41, 99}], ids=str)
async def test_of_letters_removed_together_those_between_stay(rabbitmq_url: str, stay: set[int]) -> None:
    await fill(rabbitmq_url, 100)
    before = await contents(rabbitmq_url)
    async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
        page: list[int] = []
        async for held in letters:
            if number_of(held) not in stay:
                page.append(held.tag)
            if number_of(held) % 20 == 19:
                await letters.remove(page)
                page = []
        await letters.settled()
    assert await contents(rabbitmq_url) == [one for number, one in enumerate(before) if number in stay]


async def test_letters_that_come_meanwhile_are_not_seen_and_stay(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 3)
    async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
        await fill(rabbitmq_url, 2)
        assert [number_of(held) async for held in letters] == [0, 1, 2]
    assert [message.body for message in await replays.look(rabbitmq_url, DLQ)] == [b"0 ", b"1 ", b"2 ", b"0 ", b"1 "]


async def test_letters_that_others_take_meanwhile_are_not_waited_for(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 40)
    async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
        seen = []
        async for held in letters:
            seen.append(number_of(held))
            if len(seen) == 1:
                taken = [int(message.body) for message in await broker.take_all(rabbitmq_url, DLQ)]
    assert taken
    assert sorted(seen + taken) == list(range(40))
    assert [int(message.body) for message in await replays.look(rabbitmq_url, DLQ)] == seen


async def test_a_dlq_that_is_deleted_meanwhile_is_told(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 10)
    async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
        found = aiter(letters)
        held = await anext(found)
        async with broker.channel(rabbitmq_url) as opened:
            await opened.queue_delete(DLQ)
        with pytest.raises(LinkError, match=DLQ):
            await anext(found)
        with pytest.raises(LinkError, match="cannot be removed"):
            await letters.remove([held.tag])


async def test_large_letters_are_held_by_the_window(rabbitmq_url: str) -> None:
    await fill(rabbitmq_url, 200, 512 * 1024)
    tracemalloc.start()
    try:
        async with browsing(rabbit(rabbitmq_url), DLQ) as letters:
            sizes = [len(held.letter.body) async for held in letters]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(sizes) == 200
    # All of them are 100 MiB.
    assert peak < 60 * 1024 * 1024


#: Arguments as users and policies of their own have them, and what kind of queue that is.
KINDS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("classic", {}, {"durable": True}),
    ("classic", {"x-queue-type": "classic"}, {"durable": True}),
    ("classic", {"x-max-length": 9, "x-queue-mode": "lazy", "x-max-priority": 3, "x-message-ttl": 99}, {}),
    ("classic", {"x-single-active-consumer": True, "x-overflow": "reject-publish"}, {"auto_delete": True}),
    ("quorum", {"x-queue-type": "quorum"}, {"durable": True}),
    ("quorum", {"x-queue-type": "quorum", "x-delivery-limit": 3, "x-max-length": 9}, {"durable": True}),
    ("stream", {"x-queue-type": "stream"}, {"durable": True}),
]


async def test_the_kind_of_a_queue_is_found_out_and_nothing_is_made(rabbitmq_url: str) -> None:
    connection = await connect(rabbit(rabbitmq_url), "test")
    try:
        async with broker.channel(rabbitmq_url) as opened:
            for number, (kind, arguments, flags) in enumerate(KINDS):
                await opened.declare_queue(f"q{number}", arguments=dict(arguments), **flags)
                assert await queue_kind(connection, f"q{number}") == kind
    finally:
        await close(connection)


async def test_a_quorum_dlq_is_refused_and_no_look_is_counted(rabbitmq_url: str) -> None:
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1}
    async with broker.channel(rabbitmq_url) as opened:
        await opened.declare_queue(DLQ, durable=True, arguments=dict(arguments))
    await broker.publish(rabbitmq_url, "", [(DLQ, b"letter")])
    for _ in range(5):
        with pytest.raises(TopologyError, match="is a quorum queue"):
            async with browsing(rabbit(rabbitmq_url), DLQ):
                pass
    [letter] = await broker.take_all(rabbitmq_url, DLQ)
    assert not letter.redelivered
    with pytest.raises(TopologyMissing, match=r"there is no queue no\.dlq"):
        async with browsing(rabbit(rabbitmq_url), "no.dlq"):
            pass
