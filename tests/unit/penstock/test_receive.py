"""What the reader of a connection does with deliveries, with the client library's part, and with what is no AMQP."""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING

import pytest
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError, ProtocolSyntaxError
from pamqp import frame
from pamqp.body import ContentBody
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from penstock.blockage import Blockage
from penstock.confirms import Answer, Confirms
from penstock.receive import Receiver
from support.clock import ManualClock
from support.frames import FRAME_MAX, HEARTBEAT, OURS, delivered, raw_frame, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.delivery import Delivery


class Reading:
    """A receiver with one consumer on channel 1, which notes each list it is given."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.receiver = Receiver(None, clock=self.clock)
        self.lists: list[list[int]] = []
        self.consume(OURS)

    def consume(self, consumer_tag: str) -> None:
        self.receiver.consume(1, consumer_tag, 1, self.received, FRAME_MAX)

    def received(self, deliveries: Sequence[Delivery]) -> None:
        self.lists.append([delivery.tag for delivery in deliveries])

    async def passed(self) -> bytes:
        """All that has gone on to the client library."""
        self.receiver.feed_eof()
        return await self.receiver.read()


async def test_one_read_is_one_list() -> None:
    reading = Reading()
    reading.receiver.feed_data(b"".join(map(delivered, range(1, 51))))
    reading.receiver.feed_data(delivered(51) + HEARTBEAT + delivered(52)[:-1])
    reading.receiver.feed_data(delivered(52)[-1:])
    assert reading.lists == [list(range(1, 51)), [51], [52]]
    assert await reading.passed() == HEARTBEAT


async def test_deliveries_of_several_consumers_stay_in_order() -> None:
    reading = Reading()
    reading.consume("penstock-2")
    tags = [OURS, OURS, "penstock-2", OURS, "penstock-2"]
    reading.receiver.feed_data(b"".join(delivered(at, b"", tag) for at, tag in enumerate(tags)))
    assert reading.lists == [[0, 1], [2], [3], [4]]


async def test_what_ended_gets_no_more_and_the_client_library_gets_it() -> None:
    reading = Reading()
    reading.consume("penstock-2")
    reading.receiver.feed_data(delivered(1)[:-1])
    reading.receiver.forget(1, OURS)
    reading.receiver.feed_data(delivered(1)[-1:] + delivered(2) + delivered(3, b"", "penstock-2"))
    # That which had begun to come was still taken: nobody else has its beginning.
    assert reading.lists == [[1], [3]]
    reading.receiver.forget(1)
    reading.receiver.feed_data(delivered(4, b"", "penstock-2"))
    assert await reading.passed() == delivered(2) + delivered(4, b"", "penstock-2")


async def test_the_client_library_hears_something_while_only_deliveries_come() -> None:
    reading = Reading()
    client = FrameReceiver(reading.receiver)
    for tag in range(1, 5):
        reading.clock.time += 0.4
        # Cut in the middle: what the library gets begins and ends with whole frames all the same.
        reading.receiver.feed_data(delivered(tag)[:20])
        reading.receiver.feed_data(delivered(tag)[20:])
    assert isinstance((await client.get_frame())[2], Heartbeat)
    reading.receiver.feed_data(frame.marshal(Basic.QosOk(), 1))
    assert isinstance((await client.get_frame())[2], Basic.QosOk)
    reading.clock.time += 0.9
    reading.receiver.feed_data(delivered(5))
    assert await reading.passed() == b""


async def test_it_hears_no_more_than_the_broker_says_when_nothing_is_taken() -> None:
    reading = Reading()
    reading.clock.time += 100
    reading.receiver.feed_data(HEARTBEAT[:5])
    reading.clock.time += 100
    reading.receiver.feed_data(HEARTBEAT[5:])
    assert await reading.passed() == HEARTBEAT


DELIVER = frame.marshal(Basic.Deliver(OURS, 2, redelivered=False, exchange="shop", routing_key="order"), 1)
HEADER = frame.marshal(ContentHeader(0, 5), 1)
BAD = {
    "a frame that does not end": DELIVER[:-1] + b"\x00",
    "a body that does not end": delivered(2)[:-1] + b"\x00",
    "a frame larger than any": DELIVER + raw_frame(2, 1, b"")[:3] + struct.pack(">I", 2 * FRAME_MAX + 1),
    "a body before its header": DELIVER + raw_frame(3, 1, b"x"),
    "two headers": DELIVER + HEADER + HEADER,
    "a method before the header": DELIVER + frame.marshal(Basic.QosOk(), 1),
    "a method in the middle of a body": DELIVER + HEADER + raw_frame(3, 1, b"x") + DELIVER,
    "a body longer than announced": DELIVER + HEADER + raw_frame(3, 1, b"x" * 6),
    "a body in parts, longer than announced": DELIVER + HEADER + raw_frame(3, 1, b"xxx") * 2,
    "a header cut short": DELIVER + raw_frame(2, 1, HEADER[7:-1][:13]),
    "a header of another class": DELIVER + raw_frame(2, 1, b"\x00\x0a" + HEADER[9:-1]),
    **{
        f"a basic.deliver of {size} bytes": raw_frame(1, 1, DELIVER[7:-1][:size])
        for size in range(5 + len(OURS), len(DELIVER) - 8)
    },
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("more", [b"", delivered(9)])
async def test_what_is_no_amqp_ends_the_connection(bad: str, more: bytes) -> None:
    reading = Reading()
    client = FrameReceiver(reading.receiver)
    reading.receiver.feed_data(delivered(1))
    reading.receiver.feed_data(BAD[bad] + more)
    with pytest.raises(AMQPConnectionError, match="the broker sent no AMQP: "):
        await client.get_frame()
    reading.receiver.feed_data(delivered(3))
    reading.receiver.feed_eof()
    assert reading.lists == [[1]]


@pytest.mark.parametrize("foreign", [b"AMQP\x00\x00\x09\x01", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
@pytest.mark.parametrize("cut", [1, 7, 8])
async def test_whom_it_is_that_answers_is_left_to_the_client_library(foreign: bytes, cut: int) -> None:
    receiver = Receiver(None)
    receiver.feed_data(foreign[:cut])
    receiver.feed_data(foreign[cut:])
    receiver.feed_eof()
    if foreign.startswith(b"AMQP"):
        with pytest.raises(ProtocolSyntaxError):
            await FrameReceiver(receiver).get_frame()
    else:
        assert await receiver.read() == foreign


async def test_large_frames_are_passed_on_where_nobody_consumes() -> None:
    receiver = Receiver(blockage := Blockage(lambda _: None, "wait"))
    large = raw_frame(3, 1, bytes(3 * FRAME_MAX))
    blocked = frame.marshal(Connection.Blocked("low on memory"), 0)
    stream = HEARTBEAT + large + blocked
    for at in range(0, len(stream), 100_000):
        receiver.feed_data(stream[at : at + 100_000])
    assert blockage.reason == "low on memory"
    receiver.feed_eof()
    assert await receiver.read() == stream


async def test_the_client_library_hears_something_while_one_large_body_comes() -> None:
    reading = Reading()
    stream = delivered(1, bytes(10 * FRAME_MAX))
    for at in range(0, len(stream) - 1, 50_000):
        reading.clock.time += 0.9
        reading.receiver.feed_data(stream[at : at + 50_000])
    assert reading.lists == [[1]]
    heard = await reading.passed()
    assert {heard[at : at + len(HEARTBEAT)] for at in range(0, len(heard), len(HEARTBEAT))} == {HEARTBEAT}
    assert len(heard) // len(HEARTBEAT) >= 10


async def test_a_connection_lost_in_the_middle_of_a_frame_is_one() -> None:
    reading = Reading()
    client = FrameReceiver(reading.receiver)
    reading.receiver.feed_data(HEARTBEAT + DELIVER[:-1])
    reading.receiver.feed_eof()
    # As asyncio does: at the end of the stream, and when the connection is closed.
    reading.receiver.feed_eof()
    assert isinstance((await client.get_frame())[2], Heartbeat)
    with pytest.raises(AMQPConnectionError, match="unexpectedly closed"):
        await client.get_frame()
    assert reading.lists == []


async def test_names_that_are_no_utf8_do_not_end_it() -> None:
    found: list[Delivery] = []
    receiver = Receiver(None)
    receiver.consume(1, OURS, 1, found.extend, FRAME_MAX)
    fields = short(OURS) + struct.pack(">QB", 1, 0) + short(b"shop\xff") + short(b"\xfeorder")
    receiver.feed_data(raw_frame(1, 1, b"\x00\x3c\x00\x3c" + fields) + raw_frame(2, 1, ContentHeader().marshal()))
    assert [(one.exchange, one.routing_key) for one in found] == [("shop�", "�order")]


class Publishing:
    """A receiver that is told of the publishes on channel 1, of which five wait for an answer."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.receiver = Receiver(None, clock=self.clock)
        self.confirms = Confirms()
        deadline = asyncio.get_running_loop().time() + 600
        self.answers = [self.confirms.add(f"m{number}", deadline) for number in range(1, 6)]
        self.receiver.confirm(1, self.confirms, FRAME_MAX)

    def found(self) -> list[Answer | None]:
        self.confirms.lose(ConnectionError())
        return [None if answer.exception() else answer.result() for answer in self.answers]

    async def passed(self) -> bytes:
        self.receiver.feed_eof()
        return await self.receiver.read()


def came_back(number: int, body: bytes) -> bytes:
    header = ContentHeader(0, len(body), Basic.Properties(message_id=f"m{number}"))
    parts = [ContentBody(body[at : at + 40]) for at in range(0, len(body), 40)]
    method = Basic.Return(312, "NO_ROUTE", "shop", "nowhere")
    return b"".join(frame.marshal(one, 1) for one in (method, header, *parts))


SAID = (
    frame.marshal(Basic.Ack(2), 1)
    + came_back(3, b"x" * 100)
    + frame.marshal(Basic.QosOk(), 1)
    # Of another channel.
    + frame.marshal(Basic.Ack(4, multiple=True), 2)
    + came_back(1, b"")
    + HEARTBEAT
    + frame.marshal(Basic.Nack(4), 1)
    + frame.marshal(Basic.Ack(3, multiple=True), 1)
    + frame.marshal(Basic.Return(312, "NO_ROUTE", "shop", "nowhere"), 2)
)


@pytest.mark.parametrize("size", [*range(1, 60), len(SAID)])
async def test_what_is_said_of_publishes_is_taken_however_it_comes_and_the_rest_goes_on(size: int) -> None:
    publishing = Publishing()
    for at in range(0, len(SAID), size):
        publishing.receiver.feed_data(SAID[at : at + size])
    assert publishing.found() == [Answer.RETURNED, Answer.CONFIRMED, Answer.RETURNED, Answer.REFUSED, None]
    others = [frame.marshal(one, number) for one, number in ((Basic.QosOk(), 1), (Basic.Ack(4, multiple=True), 2))]
    last = frame.marshal(Basic.Return(312, "NO_ROUTE", "shop", "nowhere"), 2)
    assert await publishing.passed() == b"".join([*others, HEARTBEAT, last])


async def test_the_client_library_hears_something_while_only_confirms_come() -> None:
    publishing = Publishing()
    for tag in range(1, 6):
        publishing.clock.time += 0.4
        publishing.receiver.feed_data(frame.marshal(Basic.Ack(tag), 1))
    assert publishing.found() == [Answer.CONFIRMED] * 5
    assert await publishing.passed() == HEARTBEAT


@pytest.mark.parametrize(
    "bad",
    [
        *(raw_frame(1, 1, frame.marshal(Basic.Ack(1), 1)[7:-1][:size]) for size in range(4, 13)),
        came_back(1, b"x")[:-9] + frame.marshal(Basic.Ack(1), 1),
    ],
)
async def test_what_is_said_of_publishes_in_no_amqp_ends_the_connection(bad: bytes) -> None:
    publishing = Publishing()
    publishing.receiver.feed_data(bad)
    assert isinstance(publishing.receiver.exception(), ConnectionError)
    assert publishing.found() == [None] * 5
