"""Records that wait in retry queues: how often, how long, what passes them meanwhile, and that none is lost there."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aio_pika
import asyncpg
import pytest
from pydantic import BaseModel, SecretStr
from structlog.testing import capture_logs

from penstock.clock import SystemClock
from penstock.outcome import Transient
from penstock.process import WorkerProcess
from penstock.publish_link import publish_all
from penstock.reader import Outgoing
from penstock.running import run_worker
from penstock.settings import Http, Postgres, QueueSettings, RabbitMQ, RetrySettings, Settings
from penstock.stores.postgres import endpoints
from penstock.testing import MemorySink
from penstock.worker import Binding, Worker
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table
from support import amqp, broker
from support.clock import WatchedClock
from support.notes import notes_worker, quick, running
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from aio_pika.abc import AbstractIncomingMessage

    from penstock.outcome import Refusal
    from penstock.record import Record
    from support.notes import Running

#: Two rungs that come round soon; in place nothing is waited for.
SHORT = RetrySettings(min=0.001, max=0.001, later_min=0.1, later_factor=2, later_max=0.2, max_attempts=12)
EARLY = Transient("foreign_key", "23503", "no such customer")


def attempts(record: Record) -> int:
    return int(record.delivery.headers.get("penstock-attempts", 0))


async def test_ten_times_through_the_ladder_and_none_is_dropped(each_url: str) -> None:
    async with running(each_url, quick(each_url, retry=SHORT), name="cycles") as worker:
        seen: Counter[int] = Counter()

        def refuses(record: Record) -> Refusal | None:
            seen[record.row["id"]] = max(seen[record.row["id"]], attempts(record))
            return EARLY if attempts(record) < 10 else None

        worker.sink.refuses = refuses
        await broker.publish(each_url, "cycles", [("note.new", {"id": n, "version": 1}) for n in range(50)], trace="t")
        await worker.until(
            lambda: len(worker.sink.states) == 50 and not worker.process.link.held, "all are written", 60
        )
        assert seen == dict.fromkeys(range(50), 10)
        assert worker.metric("penstock_settled_messages_total", settlement="retry") == 500
        assert worker.metric("penstock_dead_lettered_total") == 0
        delivery = worker.sink.batches[0].records[0].delivery
        assert delivery.origin == ("cycles", "note.new")
        assert delivery.headers["trace"] == "t"
        assert len(delivery.headers["penstock-attempt-history"]) == 10
        await worker.stop()
    assert [await broker.depth(each_url, f"cycles{end}") for end in ("", ".dlq", ".retry.100ms", ".retry.200ms")] == [
        0, 0, 0, 0,
    ]  # fmt: skip


async def test_after_the_last_attempt_it_is_a_dead_letter_that_says_how_often_it_was_tried(each_url: str) -> None:
    settings = quick(each_url, retry=SHORT.model_copy(update={"max_attempts": 3}))
    async with running(each_url, settings, name="given-up") as worker:
        worker.sink.refuses = lambda record: EARLY if record.row["id"] == 2 else None
        bodies = [("note.new", {"id": number, "version": 1}) for number in range(5)]
        await broker.publish(each_url, "given-up", bodies)
        await worker.until(lambda: worker.metric("penstock_dead_lettered_total", reason="foreign_key") == 1, "a letter")
        assert sorted(worker.sink.ids) == [0, 1, 3, 4]
        assert worker.metric("penstock_settled_messages_total", settlement="retry") == 2
        await worker.stop()
    [letter] = await broker.take_all(each_url, "given-up.dlq")
    assert json.loads(letter.body) == {"id": 2, "version": 1}
    assert letter.headers["penstock-attempts"] == 3
    assert (letter.headers["penstock-original-exchange"], letter.headers["penstock-original-routing-key"]) == (
        "given-up",
        "note.new",
    )


async def test_a_record_without_a_version_is_waited_for_in_place(broker_url: str) -> None:
    settings = quick(broker_url, retry=SHORT.model_copy(update={"max_attempts": 5}))
    tries = 0

    def refuses(_record: Record) -> Refusal | None:
        nonlocal tries
        tries += 1
        return EARLY if tries < 5 else None

    async with running(broker_url, settings) as worker:
        worker.sink.refuses = refuses
        await worker.publish([1])
        await worker.settled(1)
        assert (worker.sink.ids, tries) == ([1], 5)
        assert worker.metric("penstock_settled_messages_total", settlement="retry") == 0


def late(record: Record) -> Refusal | None:
    return EARLY if record.row["id"] == 2 and not attempts(record) else None


@asynccontextmanager
async def without_a_queue(url: str, clock: WatchedClock) -> AsyncIterator[Running]:
    """A worker that is paused, and one of whose retry queues somebody has deleted."""
    async with running(url, quick(url, retry=SHORT), clock=clock) as worker:
        await worker.process.link.pause("test")
        worker.process.link.settings = quick(url, queue=QueueSettings(topology="none"))
        async with broker.channel(url) as channel:
            await channel.queue_delete("notes.retry.100ms")
        worker.sink.refuses = late
        await broker.publish(url, "notes", [("any", {"id": n, "version": 1}) for n in range(4)])
        yield worker


async def test_a_record_whose_retry_queue_is_missing_is_a_dead_letter_and_holds_up_nobody(broker_url: str) -> None:
    async with without_a_queue(broker_url, WatchedClock()) as worker:
        await worker.process.link.resume("test")
        await worker.settled(4)
        assert set(worker.sink.ids) >= {0, 1, 3}
        assert worker.metric("penstock_settled_messages_total", settlement="dead_letter") == 1
        [letter] = await broker.take_all(broker_url, "notes.dlq")
        assert letter.headers["penstock-error-reason"] == "foreign_key"


async def test_a_retry_that_is_not_confirmed_is_held_and_nothing_goes_round(broker_url: str) -> None:
    clock = WatchedClock()
    async with without_a_queue(broker_url, clock) as worker, broker.channel(broker_url) as channel:
        full = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue("notes.retry.100ms", durable=True, arguments=full)
        await channel.default_exchange.publish(aio_pika.Message(b"fills it"), queue.name)
        await worker.process.link.resume("test")
        await worker.until(lambda: worker.process.link.paused_for == {"dead_letter"}, "it pauses")
        before = len(clock.slept)
        await worker.until(lambda: len(clock.slept) >= before + 3, "it goes on trying")
        assert worker.process.ready() == "1 retries are not confirmed"
        assert worker.metric("penstock_received_messages_total") == 4
        await queue.purge()
        await worker.until(lambda: not worker.process.link.held, "it is confirmed there")
        await worker.until(lambda: worker.process.ready() is None, "it goes on")
        assert len(worker.sink.states) == 3
        assert await broker.depth(broker_url, queue.name) == 1


async def test_drain_ends_with_the_work_queue_and_says_what_waits(broker_url: str) -> None:
    """What waits may be far from its turn: who has a job run to its end is told, and not kept."""
    settings = quick(broker_url, retry=SHORT.model_copy(update={"later_min": 600, "later_max": 600}), http=Http(port=0))
    sink = MemorySink(refuses=lambda record: EARLY if record.row["id"] < 2 else None)
    async with running(broker_url, settings) as worker:
        await worker.stop()
    await broker.publish(broker_url, "notes", [("any", {"id": number, "version": 1}) for number in range(5)])
    with capture_logs() as logs:
        async with asyncio.timeout(30):
            assert await run_worker(notes_worker(sink), settings, drain=True, reload=lambda: settings) == 0
    assert sink.states.keys() == {2, 3, 4}
    assert [line["records"] for line in logs if line["event"] == "retries_wait"] == [2]


@pytest.mark.parametrize("death", ["delivery_limit", "expired"])
async def test_what_the_broker_gives_up_is_in_the_same_dlq(each_url: str, death: str) -> None:
    settings = quick(each_url, retry=SHORT, queue=QueueSettings(delivery_limit=1))
    async with running(each_url, settings, name="dying") as worker:
        await worker.stop()
    async with broker.channel(each_url) as channel:
        exchange = await channel.get_exchange("dying")
        lives = 0.1 if death == "expired" else None
        for number in range(20):
            await exchange.publish(aio_pika.Message(b"%d" % number, expiration=lives), "any")
    if death == "delivery_limit":
        for _ in range(2):
            await broker.take_and_leave(each_url, "dying", 20)
    letters: list[AbstractIncomingMessage] = []
    async with asyncio.timeout(30):
        while len(letters) < 20:
            letters += await broker.take_all(each_url, "dying.dlq")
    assert sorted(int(letter.body) for letter in letters) == list(range(20))
    for letter in letters:
        deaths: Any = letter.headers["x-death"]
        assert (deaths[0]["queue"], deaths[0]["reason"]) == ("dying", death)
    assert await broker.depth(each_url, "dying") == 0


@pytest.mark.parametrize(("start", "end"), [("notes.retry.100ms", "notes"), ("notes", "notes.dlq")])
async def test_what_expires_stays_where_it_is_until_there_is_a_queue_for_it(
    each_url: str, start: str, end: str
) -> None:
    settings = quick(each_url, retry=SHORT)
    async with running(each_url, settings) as worker:
        await worker.stop()
    async with broker.channel(each_url) as channel:
        await channel.queue_delete(end)
        # All of them expire while the queue is not there that they are to go to.
        for number in range(20):
            message = aio_pika.Message(b'{"id": %d}' % number, expiration=0.05)
            await channel.default_exchange.publish(message, start)
        await amqp.depth_becomes(channel, await channel.get_queue(start), 0, 30)
    process = WorkerProcess(notes_worker(MemorySink()), settings, SystemClock())
    process.link.paused_for.add("test")
    try:
        await process.link.start(give_up=True)
    finally:
        await process.close()
    found: list[AbstractIncomingMessage] = []
    async with asyncio.timeout(30):
        while len(found) < 20:
            found += await broker.take_all(each_url, end)
    assert sorted(message.body for message in found) == sorted(b'{"id": %d}' % number for number in range(20))
    assert await broker.depth(each_url, start) == 0


class Order(BaseModel):
    number: int
    customer: int


def orders_worker() -> Worker:
    return Worker(
        name="orders",
        model=Order,
        natural_key=lambda order: order.number,
        mapping=lambda order: TableRow("orders", order.model_dump()),
        sink=table_sink(Table("orders", {"number": "bigint", "customer": "bigint"})),
        endpoints=endpoints,
        bindings=(Binding("orders"),),
        mode="append",
    )


async def test_a_row_whose_foreign_row_comes_later_waits_while_ten_thousand_pass(
    rabbitmq_url: str, postgres_url: str
) -> None:
    """The customer comes while the order is on the third rung: so its fourth attempt is the last."""
    retry = RetrySettings(min=0.05, max=0.1, later_min=0.5, later_factor=3, later_max=4.5)
    rabbitmq = RabbitMQ(url=SecretStr(rabbitmq_url))
    settings = Settings(rabbitmq=rabbitmq, postgres=Postgres(url=SecretStr(postgres_url)), retry=retry)
    connection = await asyncpg.connect(postgres_url)
    process = WorkerProcess(orders_worker(), settings, SystemClock())
    task = asyncio.create_task(process.run(give_up=True))
    retries = ("penstock_settled_messages_total", {"worker": "orders", "settlement": "retry"})
    try:
        await connection.execute("CREATE TABLE customers (id bigint PRIMARY KEY)")
        await connection.execute("INSERT INTO customers SELECT generate_series(1, 10)")
        await connection.execute(
            "CREATE TABLE orders (number bigint, customer bigint REFERENCES customers (id), received_at timestamptz)"
        )
        await until(lambda: process.link.consuming or task.done(), "it consumes", 20)
        rows = [b'{"number": %d, "customer": %d}' % (number, number % 10 + 1) for number in range(10_000)]
        orders = [Outgoing("orders", "order", row) for row in rows]
        early = Outgoing("orders", "order", b'{"number": 10000, "customer": 99}')
        messages = [*orders[:100], early, *orders[100:]]
        publishing = asyncio.create_task(publish_all(rabbitmq, {}, messages, on_progress=lambda _: None))
        await until(lambda: process.metrics.registry.get_sample_value(*retries) == 3, "the third rung", 60)
        await connection.execute("INSERT INTO customers VALUES (99)")
        await publishing
        await until(lambda: process.metrics.summary()["written"] == 10_001, "all are written", 60)
        assert process.metrics.registry.get_sample_value(*retries) == 3
        assert process.metrics.summary()["dead_lettered"] == 0
        found = await connection.fetch("SELECT number, count(*) AS times FROM orders GROUP BY number")
        assert {row["number"]: row["times"] for row in found} == dict.fromkeys(range(10_001), 1)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await process.close()
        await connection.close()
