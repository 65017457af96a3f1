"""Of many publishes under way each gets its own answer, on every broker: confirmed, refused or returned."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, NamedTuple

import pytest
from pydantic import SecretStr

from penstock.errors import ChannelRefused, NotRouted, PublishRefused
from penstock.publish_link import PublishLink, failures_of, properties_of
from penstock.reader import Outgoing
from penstock.settings import RabbitMQ
from support import broker

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

COUNT = 1500
#: What comes of a publish to the default exchange, by routing key.
FATES = {"quorum": None, "classic": None, "full": PublishRefused, "nowhere": NotRouted}
#: Bytes of bodies: none, usual ones, and several frames.
SIZES = (0, 2, 400, 300_000)


class Sent(NamedTuple):
    key: str
    message_id: str
    body: bytes


@pytest.fixture(params=[True, False], ids=["past the library", "by the library"])
async def link(request: pytest.FixtureRequest, each_url: str) -> AsyncIterator[PublishLink]:
    """Either way out."""
    made = PublishLink(RabbitMQ(url=SecretStr(each_url), fast_publish=request.param), "test")
    yield made
    await made.close()


@pytest.fixture(autouse=True)
async def queues(each_url: str) -> AsyncIterator[None]:
    """Two that take everything, and one that is full."""
    full = {"x-max-length": 1, "x-overflow": "reject-publish"}
    async with broker.channel(each_url) as channel:
        await channel.declare_queue("quorum", durable=True, arguments={"x-queue-type": "quorum"})
        await channel.declare_queue("classic", durable=True)
        await channel.declare_queue("full", durable=True, arguments=full)
    await broker.publish(each_url, "", [("full", b"")])
    yield
    async with broker.channel(each_url) as channel:
        for queue in FATES:
            await channel.queue_delete(queue)


async def publish(link: PublishLink, one: Sent) -> None:
    properties = properties_of(Outgoing("", one.key, one.body))
    properties.message_id = one.message_id
    await link.publish("", one.key, one.body, properties)


async def test_each_publish_gets_its_own_answer(each_url: str, link: PublishLink) -> None:
    chance = random.Random(7)
    sent = [
        Sent(
            chance.choice([*FATES]),
            # Some share an id with a neighbour that may have another fate.
            f"m{number - number % 2 if number % 10 == 1 else number}",
            b"%d " % number + bytes(chance.choices(SIZES, (10, 40, 40, 1))[0]),
        )
        for number in range(COUNT)
    ]
    failures = await failures_of(publish(link, one) for one in sent)
    for one, failure in zip(sent, failures, strict=True):
        assert type(failure) is (FATES[one.key] or type(None)), (one.message_id, failure)
    for queue in ("quorum", "classic"):
        arrived = [message.body for message in await broker.take_all(each_url, queue)]
        assert arrived == [one.body for one in sent if one.key == queue]


async def test_an_empty_body_and_a_large_one_arrive(each_url: str, link: PublishLink) -> None:
    bodies = [b"", random.Random(7).randbytes(1_000_000), b"", b"{}"]
    for number, body in enumerate(bodies):
        await publish(link, Sent("quorum", f"m{number}", body))
    assert [message.body for message in await broker.take_all(each_url, "quorum")] == bodies


async def test_one_that_is_given_up_takes_no_other_with_it(each_url: str, link: PublishLink) -> None:
    await publish(link, Sent("quorum", "first", b"first"))
    keys = ["quorum", "nowhere"] * 100
    tasks = [asyncio.create_task(publish(link, Sent(key, f"m{at}", b"%d" % at))) for at, key in enumerate(keys)]
    await asyncio.sleep(0)
    given_up = tasks[40:60]
    for task in given_up:
        task.cancel()
    # The next of an id that was given up may be the one that came back, for all that is known.
    again = await failures_of([publish(link, Sent("nowhere", "m41", b"again"))])
    failures = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(failure) for failure in again] == [NotRouted]
    for task, key, failure in zip(tasks, keys, failures, strict=True):
        if task in given_up:
            assert task.cancelled()
        else:
            assert type(failure) is (FATES[key] or type(None))
    arrived = {message.body for message in await broker.take_all(each_url, "quorum")}
    kept = {b"%d" % at for at, key in enumerate(keys) if key == "quorum" and tasks[at] not in given_up}
    assert kept <= arrived


async def test_a_channel_that_is_closed_over_one_fails_those_under_way_and_the_next_is_as_good(
    each_url: str, link: PublishLink
) -> None:
    await publish(link, Sent("quorum", "first", b"first"))
    before = [publish(link, Sent("quorum", f"m{number}", b"before")) for number in range(100)]
    bad = link.publish("missing", "k", b"{}", properties_of(Outgoing("missing", "k", b"{}")))
    after = [publish(link, Sent("quorum", f"n{number}", b"after")) for number in range(100)]
    failures = await failures_of([*before, bad, *after])
    assert type(failures[100]) is ChannelRefused
    # What had its confirm by then has it.
    assert {type(failure) for failure in failures[:100]} <= {type(None), ChannelRefused}
    arrived = [message.body for message in await broker.take_all(each_url, "quorum")]
    assert len(arrived) >= 1 + failures.count(None)
    await publish(link, Sent("quorum", "last", b"last"))
    assert [message.body for message in await broker.take_all(each_url, "quorum")] == [b"last"]
