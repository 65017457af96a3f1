"""Which bindings take a message."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic

from penstock.embedded.broker.exchange import Binding, Exchange, headers_match, topic_matches, words_of
from penstock.embedded.broker.message import Message

if TYPE_CHECKING:
    from pamqp.common import FieldTable

    from penstock.embedded.broker.exchange import ExchangeType

WORDS = st.lists(st.sampled_from(["", "a", "b"]), max_size=5)
PATTERNS = st.lists(st.sampled_from(["*", "#", "", "a", "b"]), max_size=5)


def matches(pattern: list[str], words: list[str]) -> bool:
    """The same by a regular expression: each word ends in a slash."""
    parts = {"*": "[^/]*/", "#": "(?:[^/]*/)*"}
    text = "".join(parts.get(word, f"{re.escape(word)}/") for word in pattern)
    return re.fullmatch(text, "".join(f"{word}/" for word in words)) is not None


@given(PATTERNS, WORDS)
def test_topics_fit_as_a_regular_expression_says(pattern: list[str], words: list[str]) -> None:
    assert topic_matches(pattern, words) == matches(pattern, words)


def test_a_hostile_pattern_takes_no_time() -> None:
    assert not topic_matches(["#", "a"] * 60, ["a"] * 100 + ["b"])


def test_the_empty_topic_has_no_words() -> None:
    assert (words_of(""), words_of("."), words_of("a.b")) == ([], ["", ""], ["a", "b"])


@pytest.mark.parametrize(
    ("wanted", "fits"),
    [
        ({}, True),
        ({"a": 1}, True),
        ({"a": 1, "b": "two"}, True),
        ({"a": 1, "c": 3}, False),
        ({"x-match": "any", "a": 1, "c": 3}, True),
        ({"x-match": "any", "c": 3}, False),
        ({"x-match": "any"}, False),
        ({"x-match": "all", "a": None}, True),
        ({"c": None}, False),
        ({"a": True}, False),
    ],
)
def test_headers(wanted: FieldTable, fits: bool) -> None:  # noqa: FBT001 a value of the table above
    assert headers_match(wanted, {"a": 1, "b": "two"}) is fits


def message(routing_key: str, **headers: int) -> Message:
    return Message("", routing_key, Basic.Properties(headers=dict(headers)).marshal(), b"")


def test_each_type_of_exchange() -> None:
    bindings = [Binding("queue", name, name, {"n": len(name)}) for name in ("a", "a.*", "bb")]

    def taken(kind: ExchangeType, routing_key: str, **headers: int) -> list[str]:
        exchange = Exchange("x", kind)
        for binding in bindings:
            exchange.bind(binding)
        return [binding.destination for binding in exchange.matching(message(routing_key, **headers))]

    assert taken("fanout", "any") == ["a", "a.*", "bb"]
    assert taken("direct", "a.*") == ["a.*"]
    assert taken("topic", "a.b") == ["a.*"]
    assert taken("headers", "a", n=2) == ["bb"]


def test_a_binding_is_there_once_and_goes_with_its_queue() -> None:
    exchange = Exchange("x", "fanout")
    for key in ("a", "a", "b"):
        exchange.bind(Binding("queue", "q", key, {}))
    exchange.bind(Binding("exchange", "q", "a", {}))
    assert len(exchange.bindings) == 3
    exchange.unbind(Binding("queue", "q", "b", {}))
    exchange.unbind(Binding("queue", "q", "never bound", {}))
    assert len(exchange.bindings) == 2
    exchange.unbind_all("queue", "q")
    assert [binding.kind for binding in exchange.bindings.values()] == ["exchange"]
