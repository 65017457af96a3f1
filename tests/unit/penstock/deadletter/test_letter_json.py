"""A letter as JSON comes back as it was, whatever it holds."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pamqp.header import ContentHeader

from penstock.deadletter.letter_json import PROPERTIES, letter_from_json, letter_to_json
from penstock.deadletter.view import letter_of
from penstock.delivery import NO_GENERATION, Delivery
from penstock.errors import UsageError
from penstock.field_table import ExactProperties
from support.letters import make_letter

if TYPE_CHECKING:
    from pamqp.commands import Basic

TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
SHORT = st.text(st.characters(codec="utf-8"), max_size=20).filter(lambda text: len(text.encode()) < 128)
MOMENTS = st.integers(0, 2**32 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.just(float("nan"))
    | TEXTS
    | st.binary(max_size=20).map(bytearray)
    | MOMENTS
    | st.builds(
        lambda number, places: Decimal(number).scaleb(-places), st.integers(-(2**31), 2**31 - 1), st.integers(0, 20)
    )
)
NAMES = SHORT | st.sampled_from(["$bytes", "$table", "$"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))


def some(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


MESSAGES = st.builds(
    ExactProperties,
    content_type=some(SHORT),
    content_encoding=some(SHORT),
    headers=some(st.dictionaries(NAMES, VALUES, max_size=5)),
    delivery_mode=some(st.sampled_from([1, 2])),
    priority=some(st.integers(0, 255)),
    correlation_id=some(SHORT),
    reply_to=some(SHORT),
    expiration=some(SHORT),
    message_id=some(SHORT),
    timestamp=some(MOMENTS),
    message_type=some(SHORT),
    user_id=some(SHORT),
    app_id=some(SHORT),
)


def on_the_wire(properties: Any) -> bytes:
    return ContentHeader(0, 0, properties).marshal()


def received(properties: ExactProperties) -> Any:
    """The properties as they are when a broker has handed them on."""
    header = ContentHeader()
    header.unmarshal(on_the_wire(properties))
    return header.properties


def delivery(exchange: str, routing_key: str, body: bytes, properties: Basic.Properties) -> Delivery:
    return Delivery(
        NO_GENERATION, 0, body, exchange=exchange, routing_key=routing_key, redelivered=True, properties=properties
    )


@settings(deadline=None)
@given(MESSAGES, st.binary() | TEXTS.map(str.encode), SHORT)
def test_nothing_is_lost(properties: ExactProperties, body: bytes, key: str) -> None:
    delivered = received(properties)
    letter = letter_of("orders.dlq", 3, delivery("shop", key, body, delivered))
    back = letter_from_json(orjson.loads(orjson.dumps(letter_to_json(letter))))
    assert back.body == body
    assert type(back.body) is bytes
    # Byte for byte what goes out again; repr, since a NaN is not itself.
    assert on_the_wire(back.properties) == on_the_wire(properties)
    for name in PROPERTIES:
        assert repr(getattr(back.properties, name)) == repr(getattr(delivered, name))
    assert (back.queue, back.position, back.exchange, back.routing_key) == ("orders.dlq", 3, "shop", key)
    assert (back.group, back.reason, back.key) == (letter.group, letter.reason, letter.key)


def test_what_it_looks_like() -> None:
    headers = {
        "at": datetime(2026, 11, 22, 8, tzinfo=UTC),
        "raw": bytearray(b"\xff"),
        "price": Decimal("1.50"),
        "nan": float("nan"),
        "half": 0.5,
        "nested": {"list": [1, None, "x"]},
        "odd": {"$bytes": "no base64"},
    }
    properties = ExactProperties(headers=headers, message_type="order", priority=3)
    letter = letter_of("orders.dlq", 0, delivery("", "", b"\xff", properties))
    document = letter_to_json(letter)
    assert document["properties"] == {
        "headers": {
            "at": {"$timestamp": "2026-11-22T08:00:00+00:00"},
            "raw": {"$bytes": "/w=="},
            "price": {"$decimal": "1.50"},
            "nan": {"$float": "nan"},
            "half": 0.5,
            "nested": {"list": [1, None, "x"]},
            "odd": {"$table": {"$bytes": "no base64"}},
        },
        "priority": 3,
        "message_type": "order",
    }
    assert document["body_base64"] == "/w=="
    assert "body" not in document
    assert letter_to_json(make_letter(b'{"number": 5}'))["body"] == '{"number": 5}'


def changed(**fields: Any) -> dict[str, Any]:
    document = letter_to_json(make_letter())
    document.update(fields)
    return {name: value for name, value in document.items() if value is not ...}


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ([], "must be an object"),
        (changed(body=...), "body: "),
        (changed(body=5), "body: "),
        (changed(body_base64="AA=="), "body: "),
        (changed(body=..., body_base64="?"), "body_base64: not base64"),
        (changed(position="1"), "position: "),
        (changed(queue=5), "queue: "),
        (changed(properties=...), "properties: "),
        (changed(properties={"colour": "red"}), "there is no colour"),
        (changed(properties={"priority": "high"}), "properties.priority: "),
        (changed(properties={"delivery_mode": 5}), "delivery_mode"),
        (changed(properties={"headers": {"a": {"b": {"$bytes": "?"}}}}), "properties.headers.a.b: "),
        (changed(properties={"headers": {"a": {"$timestamp": "noon"}}}), "properties.headers.a: 'noon'"),
        (changed(properties={"headers": {"a": {"$decimal": "x"}}}), "properties.headers.a: 'x'"),
        (changed(properties={"headers": {"a": {"$new": 1}}}), "properties.headers.a: $new"),
    ],
)
def test_what_is_no_letter_is_refused_by_name(document: Any, named: str) -> None:
    with pytest.raises(UsageError) as refused:
        letter_from_json(document)
    assert named in str(refused.value)
