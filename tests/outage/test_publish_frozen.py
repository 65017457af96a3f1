"""A broker that stands still with its connections open: it reads nothing, and says nothing."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from penstock.errors import PublishError
from penstock.publish_channel import OwnChannel
from penstock.publish_link import PublishLink, failures_of, properties_of
from penstock.reader import Outgoing
from penstock.settings import RabbitMQ
from support import broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from penstock.drill.servers import Server

#: Seconds that no test waits for.
NEVER = 600.0
LARGE = 1_000_000
COUNT = 60


@asynccontextmanager
async def opened(server: Server, publish_timeout: float) -> AsyncIterator[PublishLink]:
    """A connection that has published one message to the queue `still`, which was empty."""
    async with broker.channel(server.url) as channel:
        await channel.queue_delete("still")
        await channel.declare_queue("still", durable=True, arguments={"x-queue-type": "quorum"})
    link = PublishLink(RabbitMQ(url=SecretStr(server.url), publish_timeout=publish_timeout), "test")
    try:
        await publish(link, -1)
        yield link
    finally:
        await link.close()


async def publish(link: PublishLink, number: int, size: int = LARGE) -> None:
    body = b"%d".ljust(size) % number
    await link.publish("", "still", body, properties_of(Outgoing("", "still", body)))


async def arrived(server: Server) -> list[int]:
    return [int(message.body) for message in await broker.take_all(server.url, "still")]


async def test_it_is_given_no_more_than_has_room_and_gets_all_in_order_when_it_goes_on(server: Server) -> None:
    async with opened(server, NEVER) as link:
        await asyncio.to_thread(server.freeze)
        publishes = asyncio.gather(*(publish(link, number) for number in range(COUNT)))
        await asyncio.sleep(1)
        channel = link._channel  # noqa: SLF001
        assert isinstance(channel, OwnChannel)
        assert 0 < channel._unsent < 3 * LARGE  # noqa: SLF001
        await asyncio.to_thread(server.thaw)
        await publishes
        assert await arrived(server) == list(range(-1, COUNT))


@pytest.mark.parametrize("size", [LARGE, 100])
async def test_all_have_their_time_and_the_next_is_published(server: Server, size: int) -> None:
    async with opened(server, 1) as link:
        await asyncio.to_thread(server.freeze)
        failures = await failures_of(publish(link, number, size) for number in range(COUNT))
        assert {type(failure) for failure in failures} == {PublishError}
        await asyncio.to_thread(server.thaw)
        await publish(link, COUNT)
        found = await arrived(server)
        assert {-1, COUNT} <= set(found)
        # Of those that had their time, some may have arrived all the same: the first ones, in order.
        others = [number for number in found if number not in {-1, COUNT}]
        assert others == list(range(len(others)))
