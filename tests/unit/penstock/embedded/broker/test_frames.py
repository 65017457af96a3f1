"""Bytes of the wire become frames, or cost the client its connection; nothing else happens."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import frame
from pamqp.commands import Basic, Queue
from pamqp.header import ContentHeader
from pamqp.heartbeat import Heartbeat

from penstock.embedded.broker.frames import (
    BODY,
    HEADER,
    HEARTBEAT,
    METHOD,
    Splitter,
    heartbeat_frame,
    message_frames,
    method_frame,
    read_content,
    read_method,
)
from penstock.embedded.broker.message import Message
from penstock.embedded.broker.properties import with_headers
from penstock.embedded.broker.replies import ConnectionFault

if TYPE_CHECKING:
    from collections.abc import Callable

DELIVER = Basic.Deliver("tag", 3, redelivered=True, exchange="x", routing_key="k")
STREAM = b"".join(
    (
        method_frame(1, Queue.Declare(queue="q")),
        heartbeat_frame(),
        *message_frames(7, DELIVER, b"\0\0", Message("x", "k", b"", bytes(10_000)), 4096),
    )
)


@given(st.lists(st.integers(1, len(STREAM) - 1), max_size=8).map(sorted))
def test_frames_come_whole_however_they_are_read(cuts: list[int]) -> None:
    splitter = Splitter()
    parts = [STREAM[start:end] for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True)]
    found = [one for part in parts for one in splitter.split(part)]
    assert [(kind, channel) for kind, channel, _ in found] == [
        (METHOD, 1),
        (HEARTBEAT, 0),
        (METHOD, 7),
        (HEADER, 7),
        *[(BODY, 7)] * 3,
    ]
    assert b"".join(payload for kind, _, payload in found if kind == BODY) == bytes(10_000)
    assert max(len(payload) for _, _, payload in found) == 4096 - 8
    assert read_content(found[3][2]).size == 10_000


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x04\x00\x00\x00\x00\x00\x00\xce", "FRAME_ERROR - frame of unknown type 4"),
        (b"AMQP\x00\x00\x09\x01", "frame of unknown type 65"),
        (b"\x01\x00\x01\x00\x00\x00\x01x\xcd", "frame without its end octet"),
        (b"\x03\x00\x01\x00\x02\x00\x00", "frame of 131080 bytes: 131072 were agreed on"),
    ],
)
def test_what_is_no_frame(data: bytes, text: str) -> None:
    with pytest.raises(ConnectionFault, match=text):
        list(Splitter().split(data))


def test_what_the_library_reads_is_what_we_write() -> None:
    assert isinstance(frame.unmarshal(heartbeat_frame())[2], Heartbeat)
    method = read_method(next(Splitter().split(STREAM))[2])
    assert isinstance(method, Queue.Declare)
    assert method.queue == "q"


def code_of(read: Callable[[bytes], object], payload: bytes) -> int:
    """The reply code of a fault, 200 where there is none."""
    try:
        read(payload)
    except ConnectionFault as fault:
        return fault.code
    return 200


@given(st.binary(max_size=60), st.sampled_from(["", "003c0028", "003c0014", "0032000a", "00280014", "000a000b"]))
def test_any_payload_is_a_method_or_a_fault(payload: bytes, index: str) -> None:
    assert code_of(read_method, bytes.fromhex(index) + payload) in {200, 502, 503}


@given(st.binary(max_size=60), st.sampled_from([b"", b"\xff\xfe", b"\x20\x00\x00\x00\x00\x10", b"\x3f\x00"]))
def test_any_payload_is_a_content_header_or_a_fault(payload: bytes, flags: bytes) -> None:
    assert code_of(read_content, ContentHeader(0, 5).marshal()[:12] + flags + payload) in {200, 502}


@given(
    st.binary(max_size=30) | st.binary(max_size=10).map(lambda value: b"\x01aS" + len(value).to_bytes(4, "big") + value)
)
def test_what_was_read_can_be_delivered_again(payload: bytes) -> None:
    table = len(payload).to_bytes(4, "big") + payload
    header = ContentHeader(0, 5).marshal()[:12] + b"\x20\x00" + table
    if code_of(read_content, header) == 200:
        changed = with_headers(read_content(header).raw, {"x-delivery-count": 1})
        assert code_of(read_content, header[:12] + changed) == 200


def test_properties_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ConnectionFault, match="SYNTAX_ERROR - the properties of a message cannot be read"):
        read_content(ContentHeader(0, 5).marshal()[:12] + b"\x00\x01\x00\x00")
