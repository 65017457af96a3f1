"""What the headers of a letter come to."""

from __future__ import annotations

from typing import Any

import pytest

from penstock.deadletter.view import Death
from penstock.deadletter.words import death_in_words, why
from support.letters import DEATH, FAILED_AT, HEADERS, letter_with, make_letter


def test_a_letter_of_ours() -> None:
    letter = make_letter(b"body", position=7)
    assert (letter.queue, letter.position, letter.worker, letter.body) == ("orders.dlq", 7, "orders", b"body")
    assert (letter.reason, letter.error_class) == ("invalid", "ValidationError")
    assert letter.error_message == "number: Input should be a valid integer"
    assert (letter.failed_at, letter.age(FAILED_AT.timestamp() + 60)) == (FAILED_AT, 60)
    assert (letter.key, letter.attempts, letter.replays) == ("k-1", 2, 1)
    assert (letter.exchange, letter.routing_key, letter.deaths) == ("shop", "order", ())
    assert why(letter) == (
        "The worker's model does not take its body. Mend the body, or the model and replay."
        " ValidationError: number: Input should be a valid integer"
    )


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("delivery_limit", "was returned more often than the queue's x-delivery-limit allows"),
        ("expired", "waited there longer than its time to live"),
        ("maxlen", "was more than the queue's greatest length"),
        ("rejected", "was rejected by a consumer"),
        ("newfangled", "was dead-lettered there (newfangled)"),
    ],
)
def test_a_letter_that_the_broker_made(reason: str, words: str) -> None:
    letter = letter_with({"x-death": [DEATH | {"reason": reason, "count": 2}], "penstock-key": "k"})
    assert (letter.worker, letter.reason, letter.error_class, letter.error_message) == ("orders", reason, "", "")
    assert (letter.exchange, letter.routing_key, letter.key) == ("shop", "order", "k")
    assert letter.failed_at == DEATH["time"]
    assert letter.deaths == (Death("orders", reason, 2, letter.failed_at, "shop", "order"),)
    assert why(letter).startswith("The broker put it here: it came to orders and ")
    assert words in why(letter)
    assert death_in_words(letter.deaths[0]) == (
        f"{reason} in orders, 2 times, last at 2026-11-22 09:00:00Z; published to exchange 'shop' with key 'order'"
    )


def test_the_brokers_word_is_the_later_one() -> None:
    """A letter of ours never has x-death: where both speak, the message failed, was replayed, and then died."""
    letter = letter_with({**HEADERS, "x-death": [DEATH, DEATH | {"queue": "before", "reason": "expired"}]})
    assert (letter.reason, letter.error_class, letter.failed_at) == ("delivery_limit", "", DEATH["time"])
    assert [death.queue for death in letter.deaths] == ["orders", "before"]
    assert (letter.exchange, letter.routing_key) == ("shop", "order")


@pytest.mark.parametrize("headers", [None, {}, {"x-death": "me"}, {"x-death": [5, {}]}, {"penstock-failed-at": "now"}])
def test_a_message_that_nobody_dead_lettered(headers: dict[str, Any] | None) -> None:
    letter = letter_with(headers)
    assert (letter.worker, letter.reason, letter.failed_at, letter.key) == ("orders", "unknown", None, None)
    assert (letter.exchange, letter.routing_key, letter.age(0)) == ("", "orders.dlq", None)
    assert "nothing in its headers says why" in why(letter).lower()


@pytest.mark.parametrize("value", [b"\xff", 5, None, [1], {"a": 1}, True])
def test_headers_of_any_type_are_looked_at(value: Any) -> None:
    letter = letter_with(dict.fromkeys([*HEADERS, "x-death"], value))
    assert letter.reason
    assert letter.worker
    assert letter.group
    assert why(letter)


def test_a_group_is_worker_reason_class_and_print() -> None:
    letter = make_letter()
    assert letter.group == make_letter(b"other", position=3, key="k-2", replays=0).group
    others = [
        make_letter(worker="refunds"),
        make_letter(error_reason="not_json"),
        make_letter(error_class="Other"),
        make_letter(error_message="name: Field required"),
    ]
    assert len({letter.group, *(other.group for other in others)}) == 5
    # It is written down and used later, on another machine: it must not move.
    assert letter.group == "a9dc7c2905"
