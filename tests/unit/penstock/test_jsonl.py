"""JSON Lines: one message a line, as it is."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock import jsonl
from penstock.errors import UsageError
from penstock.jsonl import JsonLines
from penstock.reader import Outgoing

if TYPE_CHECKING:
    from pathlib import Path

READER = JsonLines("things", "thing.new")

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(), children, max_size=3),
    max_leaves=8,
)


def bodies(data: bytes) -> list[bytes]:
    return [message.body for message in READER.read(io.BytesIO(data), "file")]


def test_a_line_becomes_a_message_with_the_given_address() -> None:
    assert list(READER.read(io.BytesIO(b'{"a":1}\n'), "file")) == [Outgoing("things", "thing.new", b'{"a":1}')]


def test_bodies_are_the_lines_bytes_as_they_are() -> None:
    assert bodies(b' {"a" : 1.50}\t\r\n\n  \n"\xc3\xa9"') == [b' {"a" : 1.50}\t', b'"\xc3\xa9"']


@given(values=st.lists(JSON), blank=st.sampled_from([b"", b"\n", b" \r\n"]))
def test_every_value_comes_through_in_order(values: list[object], blank: bytes) -> None:
    lines = [orjson.dumps(value) for value in values]
    assert bodies(b"".join(line + b"\n" + blank for line in lines)) == lines


@pytest.mark.parametrize("bad", [b"{", b"nonsense", b"NaN", b'{"a":1} {"b":2}', b"\xff", b'"\\ud800"', b"\x00"])
def test_a_bad_line_is_named_after_the_good_ones_before_it(bad: bytes) -> None:
    messages = READER.read(io.BytesIO(b"1\n\n" + bad + b"\n2\n"), "some.jsonl")
    assert next(messages).body == b"1"
    with pytest.raises(UsageError, match=r"^some\.jsonl, line 3: not JSON: ") as caught:
        next(messages)
    assert "\n" not in str(caught.value)


def test_a_line_without_end_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jsonl, "LONGEST_LINE", 100)
    assert bodies(b"1" * 98 + b"\n2\n") == [b"1" * 98, b"2"]
    with pytest.raises(UsageError, match=r"^file, line 2: longer than the 100 bytes"):
        bodies(b"1\n" + b"1" * 1000)


def test_the_file_to_read_is_the_path_itself(tmp_path: Path) -> None:
    assert READER.files(tmp_path / "a.jsonl") == (tmp_path / "a.jsonl",)


def test_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"^{tmp_path}: is a folder"):
        READER.files(tmp_path)
