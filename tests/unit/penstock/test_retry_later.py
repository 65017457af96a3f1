"""What a message is like that waits in a retry queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pamqp.commands import Basic

from penstock.deadletter.letter import letter_headers
from penstock.idempotency import KEY_HEADER
from penstock.outcome import Transient
from penstock.retry_later import HISTORY_HEADER, LONGEST_HISTORY, RetryQueues, retry_headers
from penstock.testing import MemorySink, make_delivery
from support.clock import ManualClock
from support.notes import notes_worker

if TYPE_CHECKING:
    from penstock.delivery import Delivery

REFUSAL = Transient("foreign_key", "23503", "no such customer", delay=5000)


def delivery(headers: dict[str, Any], **properties: Any) -> Delivery:
    return make_delivery(
        b'{"id": 1}', routing_key="orders.new", properties=Basic.Properties(headers=headers, **properties)
    )


def back(headers: dict[str, Any]) -> Delivery:
    """The delivery as it comes out of the retry queue: by the default exchange, with what the broker adds."""
    found = delivery({**headers, "x-death": [{"count": 1}], "x-first-death-queue": "notes.retry.1s"})
    found.exchange, found.routing_key = "", "notes"
    return found


def test_attempts_are_counted_and_what_the_broker_wrote_is_gone() -> None:
    headers = retry_headers(delivery({"traceparent": "00-1", "x-delivery-count": 3}), REFUSAL, "k" * 64, 0.0)
    assert headers == {
        "traceparent": "00-1",
        "penstock-attempts": 1,
        HISTORY_HEADER: ["1970-01-01T00:00:00.000+00:00 foreign_key 23503"],
        "penstock-original-exchange": "test",
        "penstock-original-routing-key": "orders.new",
        KEY_HEADER: "k" * 64,
    }
    again = retry_headers(back(headers), REFUSAL, None, 1.0)
    assert again == headers | {
        "penstock-attempts": 2,
        HISTORY_HEADER: [*headers[HISTORY_HEADER], "1970-01-01T00:00:01.000+00:00 foreign_key 23503"],
    }


def test_the_history_is_bounded_and_the_latest_stay() -> None:
    headers: dict[str, Any] = {HISTORY_HEADER: "not a list"}
    for second in range(30):
        headers = retry_headers(back(headers), REFUSAL, None, second)
    assert headers["penstock-attempts"] == 30
    assert len(headers[HISTORY_HEADER]) == LONGEST_HISTORY
    assert headers[HISTORY_HEADER][-1].startswith("1970-01-01T00:00:29")


def test_a_letter_that_waited_before_says_where_it_came_from_and_how_often_it_was_tried() -> None:
    waited = retry_headers(delivery({}), REFUSAL, None, 0.0)
    letter = letter_headers(back(waited), REFUSAL, "notes", None, 1.0)
    assert letter["penstock-original-exchange"] == "test"
    assert letter["penstock-original-routing-key"] == "orders.new"
    assert letter["penstock-attempts"] == 2
    assert letter[HISTORY_HEADER] == waited[HISTORY_HEADER]


def test_an_address_that_somebody_else_wrote_is_not_believed_of_a_message_from_an_exchange() -> None:
    claims = {"penstock-original-exchange": "elsewhere", "penstock-original-routing-key": "x"}
    assert delivery(claims).origin == ("test", "orders.new")
    assert back({"penstock-original-exchange": 7, "penstock-original-routing-key": "x"}).origin == ("", "notes")


async def test_it_is_published_to_the_queue_of_its_delay_and_does_not_expire_by_itself() -> None:
    sent: list[tuple[str, str, bytes, Basic.Properties]] = []

    class Publisher:
        async def publish(self, *message: Any) -> None:
            sent.append(message)

    publisher: Any = Publisher()
    queues = RetryQueues(notes_worker(MemorySink()), publisher, ManualClock())
    await queues.publish(delivery({"large": "x" * 200_000}, expiration="60000", message_id="m"), REFUSAL, None, 5000)
    [(exchange, routing_key, body, properties)] = sent
    assert (exchange, routing_key, body) == ("", "notes.retry.5s", b'{"id": 1}')
    assert (properties.expiration, properties.delivery_mode, properties.message_id) == (None, 2, "m")
    assert properties.headers
    assert properties.headers["penstock-attempts"] == 1
    assert properties.headers["penstock-headers-left-out"] is True
    assert "large" not in properties.headers
