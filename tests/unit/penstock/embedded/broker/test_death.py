"""What a dead letter tells, and which circles are cut."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pamqp.commands import Basic

from penstock.embedded.broker.arguments import queue_arguments
from penstock.embedded.broker.death import dead_letter, deaths, goes_in_circles
from penstock.embedded.broker.message import Message
from penstock.embedded.broker.properties import decoded
from penstock.embedded.broker.queue import Queue

if TYPE_CHECKING:
    from penstock.embedded.broker.death import Reason

NOW = 1_700_000_000.9


def queue_of(name: str, **arguments: Any) -> Queue:
    table = {f"x-dead-letter-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return Queue(name, queue_arguments(name, table), durable=True)


WORK = queue_of("work", exchange="dlx", routing_key="dead")
RETRY = queue_of("retry", exchange="")


def message(**properties: Any) -> Message:
    return Message("events", "a.b", Basic.Properties(**properties).marshal(), b"body")


def through(letter: Message, *steps: tuple[Queue, Reason]) -> Message:
    for queue, reason in steps:
        letter = dead_letter(letter, queue, reason, NOW)
    return letter


def test_a_letter_tells_where_it_died_and_why() -> None:
    letter = dead_letter(message(headers={"own": 1}, expiration="50", message_id="m"), WORK, "expired", NOW)
    assert (letter.exchange, letter.routing_key, letter.body) == ("dlx", "dead", b"body")
    properties = decoded(letter.properties)
    assert (properties.expiration, properties.message_id) == (None, "m")
    assert properties.headers == {
        "own": 1,
        "x-first-death-exchange": "events",
        "x-first-death-queue": "work",
        "x-first-death-reason": "expired",
        "x-last-death-exchange": "events",
        "x-last-death-queue": "work",
        "x-last-death-reason": "expired",
        "x-death": [
            {
                "count": 1,
                "exchange": "events",
                "original-expiration": "50",
                "queue": "work",
                "reason": "expired",
                "routing-keys": ["a.b"],
                "time": datetime.fromtimestamp(int(NOW), UTC),
            }
        ],
    }


def test_it_keeps_its_routing_key_where_none_is_given() -> None:
    assert dead_letter(message(), RETRY, "expired", NOW).routing_key == "a.b"


def test_deaths_of_one_kind_are_counted_and_the_latest_comes_first() -> None:
    letter = through(message(), (WORK, "rejected"), (RETRY, "expired"), (WORK, "rejected"), (WORK, "maxlen"))
    found = [(death["queue"], death["reason"], death["count"]) for death in deaths(letter)]
    assert found == [("work", "maxlen", 1), ("work", "rejected", 2), ("retry", "expired", 1)]
    headers = decoded(letter.properties).headers or {}
    assert (headers["x-first-death-reason"], headers["x-last-death-reason"]) == ("rejected", "maxlen")


def test_what_a_client_made_up_is_replaced() -> None:
    death = {"queue": "work", "reason": "rejected", "count": 5}
    for made_up in ("text", ["text"], [{**death, "count": "many"}], [death]):
        headers = {"x-death": made_up, "x-first-death-queue": "elsewhere", "x-last-death-reason": 1, "own": 1}
        given = message(headers=headers)
        assert deaths(given) == []
        letter = dead_letter(given, WORK, "rejected", NOW)
        assert [(one["queue"], one["count"]) for one in deaths(letter)] == [("work", 1)]
        assert decoded(letter.properties).headers == {
            **(decoded(dead_letter(message(), WORK, "rejected", NOW).properties).headers or {}),
            "own": 1,
        }


def test_circles_are_cut_unless_somebody_rejected_on_the_way() -> None:
    assert not goes_in_circles(through(message(), (WORK, "expired")), RETRY)
    assert goes_in_circles(through(message(), (WORK, "expired")), WORK)
    assert goes_in_circles(through(message(), (WORK, "delivery_limit"), (RETRY, "expired")), WORK)
    assert not goes_in_circles(through(message(), (WORK, "rejected"), (RETRY, "expired")), WORK)
    assert not goes_in_circles(through(message(), (RETRY, "expired"), (WORK, "rejected")), RETRY)
