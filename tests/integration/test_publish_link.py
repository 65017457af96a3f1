"""Publishing: confirmed by a queue, in order, and every failure says what to mend."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from penstock.drill.installation import Installation
from penstock.errors import PublishError, UsageError
from penstock.publish_link import WINDOW, PublishLink, properties_of, publish_all
from penstock.readahead import ROOM
from penstock.reader import Outgoing
from penstock.settings import RabbitMQ
from support import broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

ROWS = 3 * WINDOW


@pytest.fixture(params=[True, False], ids=["past the library", "by the library"])
def fast(request: pytest.FixtureRequest) -> bool:
    """Both ways out."""
    return bool(request.param)


@asynccontextmanager
async def publisher(url: str, *, fast: bool) -> AsyncIterator[PublishLink]:
    made = PublishLink(RabbitMQ(url=SecretStr(url), fast_publish=fast), "test")
    try:
        yield made
    finally:
        await made.close()


async def send(to: PublishLink, exchange: str, routing_key: str) -> None:
    message = Outgoing(exchange, routing_key, b"{}")
    await to.publish(exchange, routing_key, message.body, properties_of(message))


@pytest.fixture
async def queue(broker_url: str) -> str:
    """The queue `orders`, bound to all of the exchange `shop`."""
    await broker.declare_queue(broker_url, "orders", "shop", {"x-queue-type": "quorum"})
    return "orders"


@pytest.mark.usefixtures("queue")
async def test_what_no_queue_takes_names_exchange_and_routing_key(broker_url: str, *, fast: bool) -> None:
    async with broker.channel(broker_url) as channel:
        await channel.declare_exchange("lonely", durable=True)
    async with publisher(broker_url, fast=fast) as to:
        with pytest.raises(PublishError, match="no queue is bound to exchange 'lonely' for routing key 'artist'"):
            await send(to, "lonely", "artist")
        with pytest.raises(PublishError, match="no queue is bound to exchange '' for routing key 'nowhere'"):
            await send(to, "", "nowhere")
        await send(to, "shop", "any")
    assert await broker.depth(broker_url, "orders") == 1


@pytest.mark.usefixtures("queue")
async def test_an_exchange_that_is_missing_is_named_and_the_next_publish_works(broker_url: str, *, fast: bool) -> None:
    async with publisher(broker_url, fast=fast) as to:
        with pytest.raises(PublishError, match=r"no exchange 'nowhere' in vhost .*run its worker once"):
            await send(to, "nowhere", "artist")
        await send(to, "shop", "any")
    assert await broker.depth(broker_url, "orders") == 1


@pytest.mark.usefixtures("queue")
async def test_a_routing_key_that_is_too_long_is_refused_and_the_next_publish_works(
    broker_url: str, *, fast: bool
) -> None:
    async with publisher(broker_url, fast=fast) as to:
        await send(to, "shop", "k" * 255)
        for key in ("k" * 256, "ü" * 128):
            with pytest.raises(PublishError, match="255"):
                await send(to, "shop", key)
        await send(to, "shop", "any")
    assert await broker.depth(broker_url, "orders") == 2


async def test_a_queue_that_refuses_says_so(broker_url: str, *, fast: bool) -> None:
    full: dict[str, str | int] = {"x-max-length": 1, "x-overflow": "reject-publish"}
    await broker.declare_queue(broker_url, "orders", "shop", full)
    async with publisher(broker_url, fast=fast) as to:
        await send(to, "shop", "any")
        with pytest.raises(PublishError, match="refused a message for 'any'"):
            await send(to, "shop", "any")
    assert await broker.depth(broker_url, "orders") == 1


async def test_a_publish_after_a_lost_connection_opens_another(broker_url: str, queue: str, *, fast: bool) -> None:
    async with publisher(broker_url, fast=fast) as to:
        await send(to, "shop", "any")
        await to.close()
        await send(to, "shop", "any")
    assert await broker.depth(broker_url, queue) == 2


async def test_many_at_a_time_arrive_in_order(broker_url: str, queue: str) -> None:
    seen: list[int] = []
    outgoing = (Outgoing("shop", "any", b"%d" % number) for number in range(ROWS))
    confirmed = await publish_all(RabbitMQ(url=SecretStr(broker_url)), {}, outgoing, on_progress=seen.append)
    assert confirmed == ROWS
    assert seen == sorted(seen)
    assert seen[-1] == ROWS
    assert [int(message.body) for message in await broker.take_all(broker_url, queue)] == list(range(ROWS))


async def test_what_was_sent_before_the_input_broke_is_there(broker_url: str, queue: str) -> None:
    def outgoing() -> Iterator[Outgoing]:
        for number in range(50):
            yield Outgoing("shop", "any", b"%d" % number)
        raise UsageError("input.jsonl, line 51: not JSON")

    with pytest.raises(UsageError, match="line 51"):
        await publish_all(RabbitMQ(url=SecretStr(broker_url)), {}, outgoing(), on_progress=lambda _: None)
    assert await broker.depth(broker_url, queue) == 50


async def test_the_first_failure_ends_it_and_nothing_is_left_open(broker_url: str, queue: str) -> None:
    taken = 0

    def outgoing() -> Iterator[Outgoing]:
        nonlocal taken
        for taken in range(1, 10 * WINDOW):
            yield Outgoing("shop" if taken != 10 else "nowhere", "any", b"{}")

    with pytest.raises(PublishError, match="no exchange 'nowhere'"):
        await publish_all(RabbitMQ(url=SecretStr(broker_url)), {}, outgoing(), on_progress=lambda _: None)
    assert taken <= 2 * WINDOW + ROOM
    assert await broker.depth(broker_url, queue) >= 9


async def test_a_broken_file_on_the_command_line(broker_url: str, queue: str, tmp_path: Path) -> None:
    file = tmp_path / "orders.jsonl"
    file.write_text("\n".join([*(json.dumps({"id": number}) for number in range(20)), "{broken", '{"id": 21}']))
    penstock = Installation({"RABBITMQ_URL": broker_url})
    result = penstock.penstock("publish", "jsonl", file, "--exchange", "shop", "--routing-key", "order")
    assert result.returncode == 2
    assert f"{file}, line 21: not JSON" in result.stderr
    assert "Traceback" not in result.stderr
    assert await broker.depth(broker_url, queue) == 20
