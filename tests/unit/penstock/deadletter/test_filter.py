"""Which letters a filter meets."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import BaseModel

from penstock.codec import Codec
from penstock.deadletter.filter import BodyPath, Filter
from penstock.errors import UsageError
from penstock.settings import Limits
from penstock.worker import Worker
from support.letters import DEATH, FAILED_AT, letter_with, make_letter

if TYPE_CHECKING:
    from penstock.sink import Endpoint, Sink

NOW = FAILED_AT.timestamp() + 3600
BODY = b'{"number": 5, "text": "5", "price": 1.5, "paid": true, "none": null, "lines": [{"sku": "a"}, {"sku": "b"}]}'


class Order(BaseModel):
    number: int
    region: str = "eu"


def never(*_: object) -> Any:
    raise AssertionError


def codec(natural_key: Any) -> Codec:
    sink: Sink | Any = never
    endpoints: list[Endpoint] | Any = never
    worker = Worker(name="orders", model=Order, natural_key=natural_key, mapping=dict, sink=sink, endpoints=endpoints)
    return Codec(worker, Limits())


@pytest.mark.parametrize(
    ("met", "missed"),
    [
        (Filter(), None),
        (Filter(reason="invalid"), Filter(reason="not_json")),
        (Filter(error_class="ValidationError"), Filter(error_class="")),
        (Filter(key="k-1"), Filter(key="k")),
        (Filter(group=make_letter().group), Filter(group="0000000000")),
        (Filter(older_than=timedelta(minutes=59)), Filter(older_than=timedelta(minutes=60))),
        (Filter(newer_than=timedelta(minutes=61)), Filter(newer_than=timedelta(minutes=60))),
        (Filter(headers={"penstock-attempts": "2"}), Filter(headers={"penstock-attempts": "3"})),
        (Filter(headers={"penstock-worker": "orders"}), Filter(headers={"penstock-other": "orders"})),
        (Filter(reason="invalid", key="k-1"), Filter(reason="invalid", key="k-2")),
    ],
)
def test_what_is_given_must_hold(met: Filter, missed: Filter | None) -> None:
    assert met.matches(make_letter(), NOW)
    if missed is not None:
        assert not missed.matches(make_letter(), NOW)


def test_a_letter_of_unknown_age_is_neither_older_nor_newer() -> None:
    letter = make_letter(failed_at=None)
    assert Filter().matches(letter, NOW)
    assert not Filter(older_than=timedelta(0)).matches(letter, NOW)
    assert not Filter(newer_than=timedelta(days=9999)).matches(letter, NOW)


def test_the_brokers_own_are_met_by_their_reason() -> None:
    assert Filter(reason="delivery_limit").matches(letter_with({"x-death": [DEATH]}), NOW)


@pytest.mark.parametrize(
    ("path", "values", "others"),
    [
        ("$.number", ["5", "5.0"], ["05", "6", '"5"', "true"]),
        ("$.text", ["5"], ["5.0", '"5"']),
        ("$.price", ["1.5", "1.50"], ["1"]),
        ("$.paid", ["true"], ["1", "True"]),
        ("$.none", ["null"], ["", "None"]),
        ("$.lines[*].sku", ["a", "b"], ["c"]),
        ("$.lines[0]", ['{"sku": "a"}'], ['{"sku": "b"}']),
        ("$.lines[?@.sku == 'b'].sku", ["b"], ["a"]),
        ("$..sku", ["b"], ["$"]),
        ("$.absent", [], ["null", ""]),
    ],
)
def test_paths_of_the_body(path: str, values: list[str], others: list[str]) -> None:
    letter = make_letter(BODY)
    assert [Filter(paths=(BodyPath(path, value),)).matches(letter, NOW) for value in values] == [True] * len(values)
    assert [Filter(paths=(BodyPath(path, value),)).matches(letter, NOW) for value in others] == [False] * len(others)
    assert Filter(paths=(BodyPath(path),)).matches(letter, NOW) is bool(values)


def test_all_paths_must_hold() -> None:
    both = (BodyPath("$.number", "5"), BodyPath("$.price", "2"))
    assert not Filter(paths=both).matches(make_letter(BODY), NOW)
    assert Filter(paths=both[:1]).matches(make_letter(BODY), NOW)


@pytest.mark.parametrize("body", [b"no JSON", b"\xff", b"", b"[" * 100_000, b'{"a": ' * 500 + b"1" + b"}" * 500])
def test_a_body_that_has_no_such_path_is_not_met(body: bytes) -> None:
    assert not Filter(paths=(BodyPath("$..number"),)).matches(make_letter(body), NOW)


def test_what_is_no_path_is_refused() -> None:
    with pytest.raises(UsageError, match=r"\$\.\[ is no JSONPath"):
        Filter(paths=(BodyPath("$.["),))


def test_the_natural_key_is_the_models() -> None:
    one = Filter(natural_key="5", codec=codec(lambda order: order.number))
    assert one.matches(make_letter(b'{"number": 5}'), NOW)
    assert one.matches(make_letter(b'{"number": "5"}'), NOW)
    assert not one.matches(make_letter(b'{"number": 6}'), NOW)
    # What does not decode has none.
    assert not one.matches(make_letter(b'{"number": "five"}'), NOW)
    assert not one.matches(make_letter(b"5"), NOW)
    two = Filter(natural_key="eu/5", codec=codec(lambda order: (order.region, order.number)))
    assert two.matches(make_letter(b'{"number": 5}'), NOW)
    assert not two.matches(make_letter(b'{"number": 5, "region": "us"}'), NOW)
    with pytest.raises(UsageError, match="natural key"):
        Filter(natural_key="5")
