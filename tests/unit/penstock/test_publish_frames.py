"""A publish in frames of our own is, byte for byte, what the client library sends."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from aiormq.abc import ChannelFrame
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from penstock.field_table import ExactProperties
from penstock.publish_frames import frames_of

UNSAYABLE = (TypeError, ValueError, struct.error)
#: What is around the payload of a frame, in bytes.
AROUND = 8
SHORT = st.text(max_size=300)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.binary(max_size=9) | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)
PROPERTIES = st.builds(
    lambda kind, given: kind(**given),
    st.sampled_from([Basic.Properties, ExactProperties]),
    st.fixed_dictionaries(
        {},
        optional={
            "content_type": SHORT,
            "headers": st.dictionaries(st.text(max_size=140), VALUES, max_size=3),
            "delivery_mode": st.sampled_from([1, 2]),
            "priority": st.integers(0, 300),
            "message_id": SHORT,
            "timestamp": st.datetimes(),
        },
    ),
)


def by_the_library(
    channel: int, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties, frame_max: int
) -> bytes:
    size = frame_max - AROUND if frame_max else len(body)
    return ChannelFrame.marshall(
        channel,
        [
            Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=True),
            ContentHeader(0, len(body), properties),
            *(ContentBody(body[at : at + size]) for at in range(0, len(body), max(size, 1))),
        ],
    ).payload


@given(
    st.tuples(
        st.integers(1, 65_535),
        st.text(max_size=3) | st.text(alphabet="shop.:-", max_size=130),
        SHORT,
        st.binary(max_size=100),
        PROPERTIES,
        st.sampled_from([0, *range(AROUND + 1, AROUND + 120)]),
    )
)
def test_it_is_what_the_client_library_sends(publish: tuple[int, str, str, bytes, Basic.Properties, int]) -> None:
    try:
        expected = by_the_library(*publish)
    except UNSAYABLE:
        with pytest.raises(UNSAYABLE):
            frames_of(*publish)
    else:
        assert frames_of(*publish) == expected


@pytest.mark.parametrize("key", ["k" * 256, "ü" * 128, 7, None, ["k"]])
def test_what_amqp_cannot_say_raises(key: Any) -> None:
    with pytest.raises(UNSAYABLE):
        frames_of(1, "shop", key, b"{}", Basic.Properties(), 0)
