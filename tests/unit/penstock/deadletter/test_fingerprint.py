"""The same fault has the same print; another fault has another."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.deadletter.fingerprint import LONGEST_PRINT, fingerprint


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("row 17 of 5,000 is wrong", "row 3 of 12 is wrong"),
        ("-1.5e10 is out of range", "2 is out of range"),
        ('invalid input syntax for integer: "abc"', 'invalid input syntax for integer: "x y"'),
        ("no key 'left'", "no key ''"),
        ("seen at 2026-11-22T08:00:00.123Z", "seen at 2025-01-02 03:04:05+01:00"),
        ("at 08:00:00 it broke", "at 23:59 it broke"),
        ("id 123e4567-e89b-12d3-a456-426614174000 is gone", "id 00000000-0000-0000-0000-000000000000 is gone"),
        ("hash 0xdeadBEEF", "hash 230d8358dc8e8890b4c58deeb62912ee2f20357a"),
        ("Key (name)=(five) already exists.", "Key (name)=(a, b) already exists."),
        ("Failing row contains (1, abc, null).", "Failing row contains (2, x (y), z)."),
        ("items.3.id: Field required", "items.12.id: Field required"),
    ],
)
def test_values_do_not_part_a_group(one: str, other: str) -> None:
    assert fingerprint(one) == fingerprint(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("name: Field required", "number: Field required"),
        ('null value in column "name"', 'null value in column "number"'),
        ('violates check constraint "positive"', 'violates check constraint "even"'),
        ("Node(1) exists with label `Artist`", "Node(1) exists with label `Label`"),
        ("it can't be stored, it isn't text", "it can't be stored, it isn't whole"),
        ("the facade was defaced", "the facade was acceded"),
    ],
)
def test_another_fault_is_another_group(one: str, other: str) -> None:
    assert fingerprint(one) != fingerprint(other)


def test_it_is_one_short_line() -> None:
    assert fingerprint("a\n  b\t7\n") == "a b …"
    assert len(fingerprint("word " * 1000)) == LONGEST_PRINT


@given(st.integers(), st.integers(), st.text(st.characters(codec="ascii", exclude_characters="'\"")))
def test_any_number_and_any_quoted_text_is_a_value(one: int, other: int, text: str) -> None:
    assert fingerprint(f"got {one} for 'x'") == fingerprint(f"got {other} for '{text}'")


@given(st.text())
def test_a_print_has_no_digit_left(message: str) -> None:
    assert not any("0" <= character <= "9" for character in fingerprint(message).replace("`", ""))
