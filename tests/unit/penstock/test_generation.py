"""The window of tags that one channel has given out, and where its deliveries come from."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest
from aiormq.abc import DeliveredMessage
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from penstock.generation import AckWindow, Generation

if TYPE_CHECKING:
    from aiormq.channel import Channel as ClientChannel

    from penstock.delivery import Delivery
    from penstock.receive import Receiver


class Channel:
    """The broker's side of one channel: refuses what RabbitMQ refuses."""

    def __init__(self, sent: int) -> None:
        self.open = set(range(1, sent + 1))

    def ack_multiple(self, tag: int) -> set[int]:
        assert tag in self.open, "PRECONDITION_FAILED - unknown delivery tag"
        covered = {one for one in self.open if one <= tag}
        self.open -= covered
        return covered


@given(st.permutations(range(1, 15)), st.lists(st.integers(1, 4), min_size=14, max_size=14))
def test_nothing_is_acked_that_is_not_settled_and_everything_is_in_the_end(order: list[int], sizes: list[int]) -> None:
    window, channel, settled = AckWindow(), Channel(14), set[int]()
    tags = list(order)
    for size in sizes:
        group, tags = tags[:size], tags[size:]
        settled |= set(group)
        reach = window.settle(group)
        if reach is not None:
            assert channel.ack_multiple(reach) <= settled
    assert channel.open == set()
    assert window.acked == 14


def test_a_tag_settled_twice_is_not_sent_twice() -> None:
    window = AckWindow()
    assert window.settle([1, 2]) == 2
    assert window.settle([1, 2]) is None
    assert window.settle([4]) is None
    assert window.settle([3]) == 4


class FakeChannel:
    """Answers what a generation asks for; what it was told, in order."""

    number = 7
    connection = SimpleNamespace(connection_tune=SimpleNamespace(frame_max=65_536))

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.callback: Any = None
        self.answer: Any = None

    async def queue_declare(self, queue: str, *, passive: bool) -> Any:
        assert (queue, passive) == ("q", True)
        return self.answer

    async def basic_qos(self, *, prefetch_count: int) -> None:
        self.told.append(("qos", str(prefetch_count)))

    async def basic_consume(self, _queue: str, callback: Any, *, consumer_tag: str) -> None:
        self.callback = callback
        self.told.append(("consume", consumer_tag))

    async def basic_cancel(self, consumer_tag: str) -> None:
        self.told.append(("cancel", consumer_tag))


class FakeReceiver:
    """Notes in the channel's order what it was told."""

    def __init__(self, channel: FakeChannel) -> None:
        self.channel = channel
        self.consumer: Any = None

    def consume(self, *consumer: Any) -> None:
        self.consumer = consumer
        self.channel.told.append(("receive", consumer[1]))

    def forget(self, generation: int, consumer_tag: str = "") -> None:
        assert generation == 3
        self.channel.told.append(("forget", consumer_tag))


async def test_deliveries_are_asked_of_the_receiver_first_and_until_the_cancel_is_answered() -> None:
    channel = FakeChannel()
    receiver = FakeReceiver(channel)
    generation = Generation(3, cast("ClientChannel", channel), 0.0, cast("Receiver", receiver))
    found: list[Delivery] = []
    await generation.consume("q", 10, found.extend)
    first = generation.consumer_tag or ""
    assert receiver.consumer == (7, first, 3, found.extend, 65_536)
    await generation.cancel()
    await generation.consume("q", 20, found.extend)
    second = generation.consumer_tag or ""
    assert first != second
    closing = asyncio.get_running_loop().create_future()
    closing.cancel()
    generation.closed(closing)
    assert channel.told == [
        ("qos", "10"),
        ("receive", first),
        ("consume", first),
        ("cancel", first),
        ("forget", first),
        ("qos", "20"),
        ("receive", second),
        ("consume", second),
        ("forget", ""),
    ]


async def test_without_one_the_client_library_brings_them_one_by_one() -> None:
    channel = FakeChannel()
    generation = Generation(3, cast("ClientChannel", channel), 0.0)
    lists: list[list[Delivery]] = []
    await generation.consume("q", 10, lambda deliveries: lists.append(list(deliveries)))
    for tag in (1, 2):
        await channel.callback(
            DeliveredMessage(
                delivery=Basic.Deliver("c", tag, redelivered=True, exchange="shop", routing_key="order"),
                header=ContentHeader(properties=Basic.Properties(message_id=f"m{tag}")),
                body=b"{}",
                channel=cast("ClientChannel", channel),
            )
        )
    assert [[(one.generation, one.tag, one.redelivered) for one in each] for each in lists] == [
        [(3, 1, True)],
        [(3, 2, True)],
    ]
    [one] = lists[1]
    assert (one.body, one.exchange, one.routing_key, one.properties.message_id) == (b"{}", "shop", "order", "m2")
    await generation.cancel()
    assert channel.told[-1][0] == "cancel"


async def test_what_is_held_of_an_earlier_consumer_uses_up_nothing_of_the_present_one_s_prefetch() -> None:
    generation = Generation(3, cast("ClientChannel", FakeChannel()), 0.0)
    await generation.consume("q", 10, lambda _deliveries: None)
    generation.received = 10
    assert generation.outstanding == 10
    generation.window.settle([1, 2, 3, 5])
    assert generation.outstanding == 7  # 5 is settled, but no ack reaches it yet
    await generation.cancel()
    await generation.consume("q", 10, lambda _deliveries: None)
    assert generation.outstanding == 0
    generation.received = 14
    assert generation.outstanding == 4
    generation.window.settle(range(4, 13))
    assert generation.outstanding == 2


@pytest.mark.parametrize(("consumers", "found"), [(1, 7), (0, None)])
async def test_a_queue_that_knows_no_consumer_did_not_answer(consumers: int, found: int | None) -> None:
    channel = FakeChannel()
    channel.answer = SimpleNamespace(message_count=7, consumer_count=consumers)
    assert await Generation(3, cast("ClientChannel", channel), 0.0).ready("q") == found
