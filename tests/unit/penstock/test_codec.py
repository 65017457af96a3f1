"""Decode and validate."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, field_validator, model_validator

from penstock.codec import Codec, deeper_than
from penstock.outcome import Poison
from penstock.record import Record
from penstock.settings import Limits
from penstock.sink import Endpoint
from penstock.testing import MemorySink, make_delivery
from penstock.worker import Worker


class Order(BaseModel):
    model_config = ConfigDict(strict=True)

    id: int
    day: dt.date | None = None
    version: int | None = None
    lines: Any = None


def mapping(order: Order) -> dict[str, Any]:
    if order.id < 0:
        raise ValueError("orders have positive numbers")
    return {"id": order.id}


WORKER = Worker(
    name="orders",
    model=Order,
    natural_key=lambda order: order.id,
    mapping=mapping,
    sink=lambda _worker, _settings: MemorySink(),
    endpoints=lambda _settings: [Endpoint("memory", "")],
)


def decode(body: bytes, **limits: int) -> Record | Poison:
    return Codec(WORKER, Limits(**limits)).decode(make_delivery(body))


def reason(body: bytes, **limits: int) -> str:
    outcome = decode(body, **limits)
    assert isinstance(outcome, Poison)
    return outcome.reason


def test_a_good_body_becomes_a_record() -> None:
    record = decode(b'{"id": 7, "day": "2026-11-22", "version": 3}')
    assert isinstance(record, Record)
    assert (record.natural_key, record.row, record.version) == (7, {"id": 7}, 3)
    assert len(record.key) == len(record.content_hash) == 64


def test_the_publishers_key_wins() -> None:
    delivery = make_delivery(b'{"id": 7}')
    delivery.properties.headers = {"penstock-key": "order-7"}
    record = Codec(WORKER, Limits()).decode(delivery)
    assert isinstance(record, Record)
    assert record.key == "order-7"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b"", "not_json"),
        (b"not json", "not_json"),
        (b'{"id": 1', "not_json"),
        (b'{"id": NaN}', "not_json"),
        (b'{"id": "\xff"}', "not_json"),
        (b'{"id": "\\ud800"}', "not_json"),
        (b"[" * 10_000 + b"]" * 10_000, "too_deep"),
        (b'{"id": 1, "lines": ' + b"[" * 150 + b"]" * 150 + b"}", "too_deep"),
        (b"[]", "invalid"),
        (b'{"id": "x"}', "invalid"),
        (b'{"id": -1}', "unmappable"),
    ],
)
def test_a_bad_body_is_poison_with_its_reason(body: bytes, expected: str) -> None:
    assert reason(body) == expected


def test_a_large_body_is_refused_unread() -> None:
    assert reason(b'{"id": 1, "lines": "' + b"x" * 2000 + b'"}', body_bytes=1000) == "too_large"


def test_the_model_names_the_field_and_never_the_value() -> None:
    outcome = decode(b'{"id": "secret-value"}')
    assert isinstance(outcome, Poison)
    assert outcome.message.startswith("id: ")
    assert "secret-value" not in outcome.message


def test_a_record_with_a_million_problems_costs_no_million_lines() -> None:
    class Tags(BaseModel):
        tags: list[str]

    outcome = Codec(replace(WORKER, model=Tags), Limits()).decode(
        make_delivery(b'{"tags": [' + b"1," * 99_999 + b"1]}")
    )
    assert isinstance(outcome, Poison)
    assert outcome.message == "100000 values are not as the model wants them"


def test_a_validator_that_raises_anything_makes_poison() -> None:
    class Odd(BaseModel):
        id: int

        @field_validator("id")
        @classmethod
        def look_up(cls, value: int) -> int:
            known: dict[int, int] = {}
            return known[value]

    assert isinstance(Codec(replace(WORKER, model=Odd), Limits()).decode(make_delivery(b'{"id": 1}')), Poison)


def test_brackets_in_text_are_not_depth() -> None:
    assert isinstance(decode(json.dumps({"id": 1, "lines": "[" * 5000}).encode()), Record)


def test_a_value_may_have_a_version_that_its_model_does_not_name() -> None:
    class Versioned(Order):
        version: int | None = 7

    class Plain(BaseModel):
        id: int

        @model_validator(mode="wrap")
        @classmethod
        def as_versioned(cls, _value: Any, _handler: Any) -> Any:
            return Versioned(id=1)

    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")

        id: int

    for model in (Plain, Open):
        worker = replace(WORKER, model=model, mapping=lambda value: {"id": value.id})
        record = Codec(worker, Limits()).decode(make_delivery(b'{"id": 1, "version": 7}'))
        assert isinstance(record, Record)
        assert record.version == 7


def test_a_model_needs_no_version_and_a_key_must_be_hashable() -> None:
    class Plain(BaseModel):
        id: int

    plain = replace(WORKER, model=Plain, mapping=lambda value: value.id)
    record = Codec(plain, Limits()).decode(make_delivery(b'{"id": 1, "version": 7}'))
    assert isinstance(record, Record)
    assert record.version is None
    for bad in (replace(plain, version=lambda _: "7"), replace(plain, natural_key=lambda _: [])):
        outcome = Codec(bad, Limits()).decode(make_delivery(b'{"id": 1}'))
        assert isinstance(outcome, Poison)
        assert outcome.reason == "unmappable"


@given(st.integers(0, 60), st.integers(1, 60), st.sampled_from(["object", "list"]))
def test_depth_is_counted_exactly(depth: int, limit: int, kind: str) -> None:
    document: Any = 1
    for _ in range(depth):
        document = {"a": document} if kind == "object" else [document, 2]
    assert deeper_than(document, limit) == (depth > limit)


@given(st.binary(max_size=200))
def test_no_body_raises(body: bytes) -> None:
    assert isinstance(decode(body), Record | Poison)
