"""Values set by their paths."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.deadletter.assign import assigned, indented
from penstock.errors import UsageError

BODY = b'{"price":1.10,"big":123456789012345678901234567890,"zero":-0,"items":[{"n":1},{"n":2}],"note":"x"}'


@pytest.mark.parametrize(
    ("path", "value", "part"),
    [
        ("note", "five", '"note":"five"'),
        ("$.note", "5", '"note":5'),
        ("note", '"5"', '"note":"5"'),
        ("note", "null", '"note":null'),
        ("note", "2.50", '"note":2.50'),
        ("note", '{"a":[1.0]}', '"note":{"a":[1.0]}'),
        ("items[1].n", "9", '[{"n":1},{"n":9}]'),
        ("items[-1].n", "9", '[{"n":1},{"n":9}]'),
        ("items[?@.n == 2].n", "9", '[{"n":1},{"n":9}]'),
        ("items[0].new", "9", '[{"n":1,"new":9},{"n":2}]'),
        ("$['with space']", "9", '"with space":9'),
        ("note", "NaN", '"note":"NaN"'),
    ],
)
def test_one_value_is_set_and_all_others_stay_digit_by_digit(path: str, value: str, part: str) -> None:
    text = assigned(BODY, [(path, value)]).decode()
    assert part in text
    assert text.startswith('{"price":1.10,"big":123456789012345678901234567890,"zero":-0,')


def test_the_whole_can_be_set_and_several_are_set_in_order() -> None:
    assert assigned(BODY, [("$", "{}"), ("a", "{}"), ("a.b", "1")]) == b'{"a":{"b":1}}'


@pytest.mark.parametrize("path", ["items[5]", "items[*].n", "a.b.c", "note.x", "a[", "note | price"])
def test_a_path_that_names_no_one_value_is_refused_by_its_name(path: str) -> None:
    with pytest.raises(UsageError) as raised:
        assigned(BODY, [(path, "1")])
    assert path in str(raised.value)


@pytest.mark.parametrize("body", [b"no JSON", b"\xff", b"", b"[NaN]", b'"\\ud800"'])
def test_a_body_that_cannot_be_set_is_refused(body: bytes) -> None:
    with pytest.raises(UsageError, match="editor"):
        assigned(body, [])


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_what_nobody_sets_means_the_same(document: object) -> None:
    body = json.dumps(document).encode()
    assert json.loads(assigned(body, [])) == document
    assert json.loads(indented(body)) == document


def test_what_is_not_json_is_shown_as_it_is() -> None:
    assert indented(b"no JSON \xff") == b"no JSON \xff"
