"""Deliveries are taken out of what a broker sends, as the client library would read them; the rest is left as it is."""

from __future__ import annotations

import struct
from collections import defaultdict
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp import frame
from pamqp.commands import Basic, Connection
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from penstock.delivery import LEFT_OUT_HEADER, Delivery
from penstock.splitter import Registered, Splitter
from support.frames import FRAME_MAX, OURS, delivered, raw_frame, short, sized

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: Somebody else's consumer on the same channels.
OTHERS = "ctag1.2"
CHANNELS = (1, 2, 65_535)

SHORT = st.text(max_size=20).filter(lambda text: len(text.encode()) < 256)


def of_bytes(code: bytes, size: int) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=size, max_size=size).map(lambda value: code + value)


def table(values: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    entry = st.tuples(SHORT, values).map(lambda pair: short(pair[0]) + pair[1])
    return st.lists(entry, max_size=4).map(lambda entries: sized(b"".join(entries)))


#: One value of a field table, of every type that the client library knows; timestamps may be beyond its time.
SCALARS = st.one_of(
    *(of_bytes(code, 1) for code in (b"t", b"b", b"B")),
    *(of_bytes(code, 2) for code in (b"s", b"u")),
    *(of_bytes(code, 4) for code in (b"I", b"i", b"f")),
    *(of_bytes(code, 8) for code in (b"l", b"L", b"d")),
    st.integers(0, 2**33).map(lambda seconds: b"T" + struct.pack(">Q", seconds)),
    of_bytes(b"T", 8),
    of_bytes(b"D", 5),
    st.binary(max_size=40).map(lambda value: b"S" + sized(value)),
    st.binary(max_size=40).map(lambda value: b"x" + sized(value)),
    st.just(b"V"),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: b"A" + sized(b"".join(values))),
        table(inner).map(lambda entries: b"F" + entries),
    ),
    max_leaves=6,
)
#: What each property may be, by its flag, in the order in which they stand.
ENCODED: dict[int, st.SearchStrategy[bytes]] = {
    flag: {
        "headers": table(VALUES),
        "delivery_mode": st.integers(0, 255).map(lambda value: bytes([value])),
        "priority": st.integers(0, 255).map(lambda value: bytes([value])),
        "timestamp": st.integers(0, 2**64 - 1).map(lambda value: struct.pack(">Q", value)),
    }.get(name, st.one_of(SHORT, SHORT, SHORT, st.binary(max_size=30)).map(short))
    for name, flag in Basic.Properties.flags.items()
}


@st.composite
def content_headers(draw: st.DrawFn, body_size: int = 0) -> bytes:
    """The payload of a content header, any properties in it."""
    flags = draw(st.lists(st.sampled_from(list(ENCODED)), unique=True))
    values = [draw(strategy) for flag, strategy in ENCODED.items() if flag in flags]
    # Some say that more flags follow, of which AMQP knows none.
    more = draw(st.sampled_from([b"", b"", b"\x00\x00", b"\x00\x01\x00\x02"]))
    word = struct.pack(">H", sum(flags) | bool(more))
    return struct.pack(">HHQ", 60, 0, body_size) + word + more + b"".join(values)


@st.composite
def contents(draw: st.DrawFn, method: Callable[[], Any]) -> list[bytes]:
    """A method and its content, as payloads with the types of their frames before them."""
    bodies = draw(st.lists(st.binary(min_size=1, max_size=30), max_size=4))
    header = draw(content_headers(sum(map(len, bodies))))
    started = method()
    return [
        b"\x01" + struct.pack(">I", started.index) + started.marshal(),
        b"\x02" + header,
        *(b"\x03" + body for body in bodies),
    ]


@st.composite
def conversations(draw: st.DrawFn) -> list[tuple[int, bytes]]:
    """Frames of several channels, mixed; each channel's in its order. With the number of the channel, encoded."""

    def deliver(consumer_tag: str) -> Basic.Deliver:
        tag, again = draw(st.integers(1, 2**63 - 1)), draw(st.booleans())
        return Basic.Deliver(consumer_tag, tag, redelivered=again, exchange=draw(EXCHANGES), routing_key=draw(SHORT))

    methods: list[Callable[[], Any]] = [
        lambda: Basic.Ack(draw(st.integers(0, 9)), multiple=True),
        lambda: Basic.ConsumeOk(OURS),
        Connection.Unblocked,
    ]
    spoken: list[st.SearchStrategy[list[bytes]]] = [
        contents(lambda: deliver(OURS)),
        contents(lambda: deliver(OURS)),
        contents(lambda: deliver(OTHERS)),
        contents(lambda: Basic.Return(312, "NO_ROUTE", "shop", "key")),
        contents(lambda: Basic.GetOk(1, redelivered=False, exchange="", routing_key="q", message_count=3)),
    ]
    for one in methods:
        said = one()
        spoken.append(st.just([b"\x01" + struct.pack(">I", said.index) + said.marshal()]))
    waiting = {
        number: [piece for item in draw(st.lists(st.one_of(spoken), max_size=4)) for piece in item]
        for number in CHANNELS
    }
    waiting[0] = draw(st.lists(st.just(b"\x08"), max_size=3))
    found: list[tuple[int, bytes]] = []
    while left := [number for number, pieces in waiting.items() if pieces]:
        number = draw(st.sampled_from(left))
        piece = waiting[number].pop(0)
        found.append((number, raw_frame(piece[0], number, piece[1:])))
    return found


EXCHANGES = st.from_regex(r"[a-zA-Z0-9-_.:]{0,20}", fullmatch=True)
CUTS = st.lists(st.integers(0, 5_000), max_size=12)


def read(frames: Sequence[tuple[int, bytes]]) -> tuple[list[Any], bytes, set[int]]:
    """What the client library makes of it: the deliveries of our consumer, and the frames that are of no such one.

    And the channels on which a delivery has begun and is not whole.
    """
    found: list[Any] = []
    others: list[bytes] = []
    begun: dict[int, Any] = {}
    headers: dict[int, bytes] = {}
    bodies: defaultdict[int, bytes] = defaultdict(bytes)
    for number, encoded in frames:
        kind, payload = encoded[0], encoded[7:-1]
        if kind == 1:
            _, _, method = frame.unmarshal(encoded)
            if isinstance(method, Basic.Deliver) and method.consumer_tag == OURS:
                begun[number] = method
        if number not in begun:
            others.append(encoded)
            continue
        if kind == 2:
            headers[number] = payload
        elif kind == 3:
            bodies[number] += frame.unmarshal(encoded)[2].value
        if number in headers and len(bodies[number]) == struct.unpack(">Q", headers[number][4:12])[0]:
            found.append((number, begun.pop(number), headers.pop(number), bodies.pop(number)))
    return found, b"".join(others), set(begun)


def assert_same(delivery: Delivery, expected: tuple[int, Basic.Deliver, bytes, bytes]) -> None:
    number, method, header, body = expected
    assert (delivery.generation, delivery.tag, delivery.body) == (number, method.delivery_tag, body)
    assert (delivery.exchange, delivery.routing_key) == (method.exchange, method.routing_key)
    assert delivery.redelivered is method.redelivered
    assert type(delivery.body) is bytes
    content = ContentHeader()
    try:
        content.unmarshal(header)
    except (ValueError, OverflowError, struct.error):
        assert delivery.headers[LEFT_OUT_HEADER] is True
    else:
        # repr, since a NaN is not itself.
        assert repr(dict(delivery.properties)) == repr(dict(content.properties))


def pieces(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    return [stream[at:end] for at, end in pairwise(edges)]


def splitter() -> tuple[Splitter, list[Delivery]]:
    found: list[Delivery] = []
    one = Splitter(lambda _: None)
    for number in CHANNELS:
        one.add(number, OURS, Registered(number, found.extend), FRAME_MAX)
    return one, found


@settings(deadline=None)
@given(conversations(), CUTS)
def test_deliveries_are_what_the_client_library_reads_and_the_rest_goes_on(
    frames: list[tuple[int, bytes]], cuts: list[int]
) -> None:
    one, _ = splitter()
    deliveries: list[Delivery] = []
    passed = b""
    for piece in pieces(b"".join(encoded for _, encoded in frames), cuts):
        more, runs = one.split(piece)
        passed += more
        deliveries += [delivery for _, run in runs for delivery in run]
    expected, others, _ = read(frames)
    assert passed == others
    assert one.rest() == b""
    assert len(deliveries) == len(expected)
    for delivery, want in zip(deliveries, expected, strict=True):
        assert_same(delivery, want)


@settings(deadline=None)
@given(conversations(), CUTS, st.data())
def test_what_stands_in_the_middle_of_a_delivery_ends_it_and_none_comes_half(
    frames: list[tuple[int, bytes]], cuts: list[int], data: st.DataObject
) -> None:
    place = data.draw(st.integers(0, len(frames)))
    number = data.draw(st.sampled_from(CHANNELS))
    stray = data.draw(st.sampled_from([frame.marshal(Basic.QosOk(), number), raw_frame(2, number, b"")]))
    all_frames = [*frames[:place], (number, stray), *frames[place:]] if stray[0] == 1 else frames
    expected, others, _ = read(all_frames)
    in_the_middle = number in read(frames[:place])[2]
    one, _ = splitter()
    deliveries: list[Delivery] = []
    stream = b"".join([*(encoded for _, encoded in frames[:place]), stray, *(one for _, one in frames[place:])])
    passed = b""
    try:
        for piece in pieces(stream, cuts):
            more, runs = one.split(piece)
            passed += more
            deliveries += [delivery for _, run in runs for delivery in run]
    except ConnectionError:
        assert in_the_middle
        expected = expected[: len(deliveries)]
    else:
        assert not in_the_middle
        # It stood between two deliveries, where it is the client library's.
        assert passed.replace(stray, b"", 1) == others.replace(stray, b"", 1)
    for delivery, want in zip(deliveries, expected, strict=True):
        assert_same(delivery, want)


def test_a_large_body_comes_in_many_frames_and_reads() -> None:
    body = bytes(range(256)) * 4_096
    one, _ = splitter()
    stream = delivered(1, body) + delivered(2, b"")
    found = [
        delivery
        for at in range(0, len(stream), 16_000)
        for _, run in one.split(stream[at : at + 16_000])[1]
        for delivery in run
    ]
    assert [(delivery.tag, delivery.body) for delivery in found] == [(1, body), (2, b"")]


@pytest.mark.parametrize("missing", [2, 3, 11])
def test_a_deliver_that_is_cut_short_is_no_amqp_not_even_the_first(missing: int) -> None:
    one, _ = splitter()
    # Behind the consumer's tag: a delivery tag of 8 bytes, one of flags, and one for the length of each empty name.
    method = frame.marshal(Basic.Deliver(OURS, 1, redelivered=False, exchange="", routing_key=""), 1)[7:-1]
    cut = method[:-missing]
    with pytest.raises(ConnectionError, match="deliver on channel 1 is cut short"):
        one.split(struct.pack(">BHI", 1, 1, len(cut)) + cut + b"\xce" + delivered(1, b"{}"))


NOTICES = b"".join(
    frame.marshal(one, channel)
    for one, channel in [
        (Basic.Ack(1), 1),
        (Connection.Blocked("low on memory"), 0),
        (Heartbeat(), 0),
        # Of a channel, where it would mean nothing.
        (Connection.Unblocked(), 1),
        (Basic.Return(312, "NO_ROUTE", "shop", "k" * 200), 1),
        (Connection.Unblocked(), 0),
        (Connection.Blocked("low on disk — ü"), 0),
        (Connection.UpdateSecretOk(), 0),
    ]
)


@given(st.lists(st.integers(1, len(NOTICES) - 1)))
def test_notices_are_found_however_the_bytes_come_in_and_go_on(cuts: list[int]) -> None:
    found: list[str | None] = []
    one = Splitter(found.append)
    passed = b"".join(one.split(piece)[0] for piece in pieces(NOTICES, cuts))
    assert found == ["low on memory", None, "low on disk — ü"]
    assert passed == NOTICES
