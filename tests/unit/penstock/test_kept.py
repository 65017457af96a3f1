from __future__ import annotations

from pamqp.commands import Basic

from penstock.delivery import Delivery
from penstock.idempotency import KEY_HEADER, key_of
from penstock.kept import delivery_of, message_of
from penstock.message import from_payload, to_payload
from penstock.record import Record


def record(headers: dict[str, object], message_id: str | None = "m1") -> Record:
    properties = Basic.Properties(headers=headers, message_id=message_id, content_type="application/json")
    delivery = Delivery(
        generation=3,
        tag=7,
        body=b'{"n":1}',
        exchange="shop",
        routing_key="order",
        redelivered=True,
        properties=properties,
    )
    return Record(delivery, row={"n": 1}, natural_key="n1", content_hash="h", version=5, known_key="k" * 64)


def test_body_address_and_key_come_back_through_the_journal() -> None:
    message, failure = from_payload(to_payload(message_of(record({"traceparent": "00-1", "x-death": [{"count": 1}]}))))
    found = delivery_of(message)
    assert failure == ""
    assert (found.body, found.exchange, found.routing_key) == (b'{"n":1}', "shop", "order")
    assert found.headers == {"traceparent": "00-1", KEY_HEADER: "k" * 64}
    assert key_of(found.headers, {"n": 1}, ()) == "k" * 64
    assert found.properties.message_id == "m1"


def test_it_belongs_to_no_channel() -> None:
    found = delivery_of(message_of(record({})))
    assert (found.generation, found.tag) == (0, 0)


def test_headers_that_cannot_be_sent_again_are_left_out_and_the_key_stays() -> None:
    found = delivery_of(message_of(record({"large": "x" * 200_000}, message_id=None)))
    assert found.headers == {KEY_HEADER: "k" * 64, "penstock-headers-left-out": True}
