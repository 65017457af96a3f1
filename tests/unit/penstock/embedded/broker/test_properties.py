"""Properties are changed on the wire, and everything else in them stays as it is."""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from penstock.embedded.broker.properties import (
    check,
    decoded,
    expiration_of,
    facts_of,
    header,
    headers_of,
    with_headers,
    without_expiration,
)
from penstock.embedded.broker.replies import ChannelFault

SHORT = st.text("ab€", min_size=1, max_size=5)
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(max_size=5)
    | st.floats(width=32, allow_nan=False)
    | st.binary(max_size=5).map(bytearray)
    | st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(lambda at: at.replace(tzinfo=UTC, microsecond=0))  # noqa: DTZ001
    | st.just(Decimal("1.25")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(SHORT, inner, max_size=3),
    max_leaves=6,
)
PROPERTIES = st.builds(
    Basic.Properties,
    content_type=st.none() | SHORT,
    content_encoding=st.none() | SHORT,
    headers=st.none() | st.dictionaries(SHORT, VALUES, max_size=4),
    delivery_mode=st.sampled_from([None, 1, 2]),
    priority=st.none() | st.integers(0, 255),
    correlation_id=st.none() | SHORT,
    reply_to=st.none() | SHORT,
    expiration=st.none() | st.integers(0, 2**32 - 1).map(str),
    message_id=st.none() | SHORT,
    timestamp=st.none() | st.just(datetime(2020, 1, 1, tzinfo=UTC)),
    message_type=st.none() | SHORT,
    user_id=st.none() | SHORT,
    app_id=st.none() | SHORT,
)


@given(PROPERTIES, st.dictionaries(SHORT, st.integers(0, 9), min_size=1, max_size=2))
def test_a_header_is_set_and_the_rest_stays(properties: Basic.Properties, changes: dict[str, Any]) -> None:
    raw = properties.marshal()
    changed = with_headers(raw, changes)
    check(changed)
    after, before = decoded(changed), decoded(raw)
    assert after.headers == {**(before.headers or {}), **changes}
    assert {name: value for name, value in after if name != "headers"} == {
        name: value for name, value in before if name != "headers"
    }
    untouched = headers_of(raw).keys() - changes.keys()
    assert {name: headers_of(changed)[name] for name in untouched} == {
        name: headers_of(raw)[name] for name in untouched
    }


@given(PROPERTIES)
def test_the_time_to_live_goes_alone(properties: Basic.Properties) -> None:
    raw = properties.marshal()
    check(raw)
    assert expiration_of(raw) == decoded(raw).expiration
    properties.expiration = None
    assert without_expiration(raw) == properties.marshal()


def test_text_that_is_no_utf8_and_wide_numbers_stay() -> None:
    table = b"\x03oddS\x00\x00\x00\x02\xff\xfe" + b"\x04wided" + bytes(8)
    raw = b"\x20\x00" + len(table).to_bytes(4, "big") + table
    check(raw)
    changed = with_headers(raw, {"x-delivery-count": 3})
    assert table in changed
    assert header(changed, "x-delivery-count") == 3
    assert header(changed, "absent") is None


@given(PROPERTIES, st.integers(0, 60))
def test_properties_that_end_too_soon_or_late_are_refused(properties: Basic.Properties, cut: int) -> None:
    raw = properties.marshal()
    for wrong in (raw + b"x", raw[: min(cut, len(raw) - 1)]):
        with pytest.raises((ValueError, LookupError, struct.error)):
            check(wrong)


def test_facts() -> None:
    assert facts_of(Basic.Properties()) == (False, 0, None)
    assert facts_of(Basic.Properties(delivery_mode=2, priority=7, expiration="60")) == (True, 7, 60)


@pytest.mark.parametrize("expiration", ["-1", "1.5", "x", "4294967296", "9" * 250, "²"])
def test_a_time_to_live_that_is_none(expiration: str) -> None:
    with pytest.raises(ChannelFault, match=r"PRECONDITION_FAILED - invalid expiration '"):
        facts_of(Basic.Properties(expiration=expiration))
