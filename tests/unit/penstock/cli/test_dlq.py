"""`penstock dlq`: what its options take, and how letters look, without any server."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from penstock.cli.dlq_filter import FilterWords, body_path, dead_letter_queue
from penstock.cli.dlq_letter import LONGEST_BODY, body_text, in_short, letter_text
from penstock.deadletter.filter import BodyPath
from penstock.settings import Settings
from support.letters import DEATH, FAILED_AT, letter_with, make_letter

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    ("word", "path", "value"),
    [
        ("$.a", "$.a", None),
        ("$.a=5", "$.a", "5"),
        ("$.a=", "$.a", ""),
        ("$.a=b=c", "$.a", "b=c"),
        ("$.lines[?@.price==3]", "$.lines[?@.price==3]", None),
        ("$.lines[?@.price==3].id=x", "$.lines[?@.price==3].id", "x"),
    ],
)
def test_a_path_and_its_value_are_told_apart(word: str, path: str, value: str | None) -> None:
    assert body_path(word) == BodyPath(path, value)


@pytest.mark.parametrize(
    ("word", "seconds"), [("90s", 90), ("5m", 300), ("1.5h", 5400), ("7d", 604_800), ("2w", 1_209_600)]
)
def test_ages(word: str, seconds: float) -> None:
    found = FilterWords(older_than=word, newer_than=word).filter("orders", Settings())
    assert found.older_than == found.newer_than == timedelta(seconds=seconds)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--older-than", "5"), "--older-than: write an age as 90s, 5m, 2h, 7d or 1w, not 5"),
        (("--newer-than", "-5m"), "--newer-than: "),
        (("--header", "colour"), "--header: write NAME=VALUE, not colour"),
        (("--header", "=red"), "--header: "),
        (("--path", "$.["), "$.[ is no JSONPath"),
        (("--path", "$.[=5"), "$.[=5 is no JSONPath"),
        (("--natural-key", "5"), "there is no worker gone"),
    ],
)
def test_what_cannot_be_meant_is_one_line(call: Callable[..., Any], words: tuple[str, ...], named: str) -> None:
    for command in ("show", "export"):
        answer = call("dlq", command, "gone", *words)
        assert (answer.code, answer.out) == (2, "")
        assert answer.err.startswith("penstock: ")
        assert named in answer.err
        assert answer.err.count("\n") == 1


def test_a_dlq_is_named_by_its_worker_or_itself() -> None:
    assert dead_letter_queue("orders") == dead_letter_queue("orders.dlq") == "orders.dlq"


def test_a_letter_as_text() -> None:
    assert letter_text(make_letter(b'{"number":5}'), FAILED_AT.timestamp() + 3 * 3600) == (
        "letter 0 of orders.dlq, group a9dc7c2905\n"
        "  why        The worker's model does not take its body. Mend the body, or the model and replay."
        " ValidationError: number: Input should be a valid integer\n"
        "  failed     2026-11-22 08:00:00Z (3 h ago); 2 attempts, 1 replays\n"
        "  published  to exchange 'shop' with key 'order'\n"
        "  key        k-1\n"
        "  headers    penstock-attempts: 2\n"
        '             penstock-error-class: "ValidationError"\n'
        '             penstock-error-message: "number: Input should be a valid integer"\n'
        '             penstock-error-reason: "invalid"\n'
        '             penstock-failed-at: "2026-11-22T08:00:00.000+00:00"\n'
        '             penstock-key: "k-1"\n'
        '             penstock-original-exchange: "shop"\n'
        '             penstock-original-routing-key: "order"\n'
        "             penstock-replays: 1\n"
        '             penstock-worker: "orders"\n'
        "  properties delivery_mode: 2\n"
        "  body       12 bytes\n"
        '{\n  "number": 5\n}\n'
    )
    text = letter_text(letter_with({"x-death": [DEATH]}), 0)
    assert (
        "  x-death    delivery_limit in orders, once, last at 2026-11-22 09:00:00Z;"
        " published to exchange 'shop' with key 'order'\n"
    ) in text
    assert "  failed     not known; 0 attempts" in letter_text(letter_with(None), 0)


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"two\nlines", "two\nlines"),
        (b"\xff\x1b[2J", "\\xff\\x1b[2J"),
        (b'"\\u001b[2J\\u009b"', '"\\u001b[2J\\x9b"'),
        (b"", ""),
        (b"[" * 100_000, "[" * LONGEST_BODY + "\n… 80,000 characters more: see them with --json"),
    ],
)
def test_a_body_moves_no_cursor(body: bytes, text: str) -> None:
    assert body_text(body) == text


@pytest.mark.parametrize(
    ("seconds", "text"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (2e5, "2 d")]
)
def test_ages_in_short(seconds: float, text: str) -> None:
    assert in_short(seconds) == text
