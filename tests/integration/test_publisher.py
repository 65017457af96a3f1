"""`penstock.Publisher` on a broker: durable, in order, and a refusal is an error of its own message alone."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from uuid import UUID

import pytest
from pydantic import SecretStr

from penstock import Confirmed, Publisher, Stored
from penstock.errors import PublishRefused
from penstock.settings import OutboxSettings, RabbitMQ, RetrySettings, Settings, TransactionSettings
from support import broker

if TYPE_CHECKING:
    from pathlib import Path

#: Nobody answers there.
NOWHERE = "amqp://guest:guest@127.0.0.1:1/"


@pytest.fixture
async def queue(broker_url: str) -> str:
    """The queue `orders`, bound to all of the exchange `shop`."""
    await broker.declare_queue(broker_url, "orders", "shop", {"x-queue-type": "quorum"})
    return "orders"


def to(url: str, path: Path | None = None) -> Publisher:
    settings = Settings(
        rabbitmq=RabbitMQ(url=SecretStr(url)),
        outbox=OutboxSettings(path=str(path) if path else None),
        transaction=TransactionSettings(retry_attempts=2, retry_delay=0.05),
        retry=RetrySettings(min=0.05, max=0.1),
    )
    return Publisher(settings)


async def test_a_confirmed_message_is_durable_and_carries_its_id_and_key(broker_url: str, queue: str) -> None:
    async with to(broker_url) as publisher:
        plain = await publisher.publish("shop", "order", b'{"number": 1}')
        keyed = await publisher.publish(
            "shop", "order", b"2", key="order-2", headers={"tenant": "a"}, content_type="text/plain"
        )
    assert isinstance(plain, Confirmed)
    assert isinstance(keyed, Confirmed)
    first, second = await broker.take_all(broker_url, queue)
    assert (first.body, first.message_id, first.delivery_mode) == (b'{"number": 1}', plain.id, 2)
    assert first.headers["penstock-key"] == plain.id
    assert first.content_type == "application/json"
    assert UUID(plain.id).version == 7
    assert (second.headers["penstock-key"], second.headers["tenant"]) == ("order-2", "a")
    assert second.content_type == "text/plain"
    assert second.message_id == keyed.id


async def test_what_no_queue_takes_is_an_error_after_its_tries(broker_url: str, queue: str, tmp_path: Path) -> None:
    async with to(broker_url, tmp_path / "outbox.sqlite") as publisher:
        with pytest.raises(PublishRefused, match="no queue is bound to exchange '' for routing key 'nowhere'"):
            await publisher.publish("", "nowhere", b"{}")
        assert publisher.stats().pending == publisher.stats().failed == 0
        assert isinstance(await publisher.publish("shop", "order", b"{}"), Confirmed)
    assert await broker.depth(broker_url, queue) == 1


async def test_a_missing_exchange_is_the_error_of_its_own_message_alone(
    broker_url: str, queue: str, tmp_path: Path
) -> None:
    async with to(broker_url, tmp_path / "outbox.sqlite") as publisher:
        names = ["shop"] * 20 + ["missing"] + ["shop"] * 20
        results = await asyncio.gather(
            *(publisher.publish(name, "order", b"%d" % number) for number, name in enumerate(names)),
            return_exceptions=True,
        )
        assert [number for number, result in enumerate(results) if isinstance(result, BaseException)] == [20]
        with pytest.raises(PublishRefused, match="no exchange 'missing'"):
            await publisher.publish("missing", "order", b"{}")
        await publisher.flush()
    assert {message.body for message in await broker.take_all(broker_url, queue)} == {
        b"%d" % number for number in range(41) if number != 20
    }


async def test_what_an_earlier_life_stored_goes_first_and_in_order(broker_url: str, queue: str, tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    async with to(NOWHERE, path) as publisher:
        receipts = await asyncio.gather(*(publisher.publish("shop", "order", b"%d" % number) for number in range(3000)))
        assert all(isinstance(receipt, Stored) for receipt in receipts)
        assert publisher.stats().pending == 3000
    async with to(broker_url, path) as publisher:
        receipts = await asyncio.gather(
            *(publisher.publish("shop", "order", b"%d" % number) for number in range(3000, 4000))
        )
        await publisher.flush()
        assert publisher.stats().rate > 0
        assert isinstance(await publisher.publish("shop", "order", b"4000"), Confirmed)
    found = await broker.take_all(broker_url, queue)
    assert [int(message.body) for message in found] == list(range(4001))


async def test_what_the_broker_refuses_out_of_the_outbox_is_kept_until_there_is_a_queue(
    broker_url: str, queue: str, tmp_path: Path
) -> None:
    path = tmp_path / "outbox.sqlite"
    async with to(NOWHERE, path) as publisher:
        lost = await publisher.publish("late", "order", b"1")
        await publisher.publish("shop", "order", b"2")
    async with to(broker_url, path) as publisher:
        await publisher.flush()
        assert publisher.stats().failed == 1
        [failed] = await publisher.failed()
        assert (failed.id, failed.exchange, failed.body) == (lost.id, "late", b"1")
        assert "no exchange 'late'" in failed.reason
        await broker.declare_queue(broker_url, "late", "late", {})
        assert await publisher.retry_failed([lost.id]) == 1
        await publisher.flush()
        assert publisher.stats().failed == 0
    assert [message.message_id for message in await broker.take_all(broker_url, "late")] == [lost.id]
    assert await broker.depth(broker_url, queue) == 1
