"""Two brokers at two addresses: whichever answers is used, and kept until it goes away."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from penstock import Confirmed, Publisher
from penstock.drill.installation import Installation
from penstock.settings import RabbitMQ, Settings
from support import broker
from support.notes import running

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.drill.servers import Server

NAME = "twofold"


def place(server: Server) -> str:
    return f"{server.address.host}:{server.address.port}"


@pytest.fixture
async def both(server: Server, rabbitmq: Server) -> AsyncIterator[str]:
    """The URL of the broker that may be stopped, and of the one that may not; neither keeps a queue of the test's."""
    yield server.url.replace(place(server), f"{place(server)},{place(rabbitmq)}")
    server.start()
    for one in (server, rabbitmq):
        async with broker.channel(one.url) as channel:
            for queue in (NAME, f"{NAME}.dlq"):
                await channel.queue_delete(queue)
            await channel.exchange_delete(NAME)


async def test_worker_and_publisher_go_over_to_the_other_and_stay_there(
    server: Server, rabbitmq: Server, both: str
) -> None:
    settings = Settings(rabbitmq=RabbitMQ(url=SecretStr(both)))
    async with running(both, name=NAME) as worker, Publisher(settings) as publisher:

        async def publish(numbers: range, settled: int) -> None:
            for number in numbers:
                assert isinstance(await publisher.publish(NAME, "any", b'{"id": %d}' % number), Confirmed)
            await worker.settled(settled)
            assert worker.sink.ids == list(range(numbers.stop))

        assert worker.process.health()["broker"]["host"] == place(server)
        await publish(range(20), 20)
        await asyncio.to_thread(server.kill)
        await worker.until(lambda: worker.process.link.place == place(rabbitmq), "the other serves")
        await worker.consuming(generation=2)
        await publish(range(20, 40), 40)
        assert worker.metric("penstock_broker_connections_total", broker=place(server)) == 1
        assert worker.metric("penstock_broker_connections_total", broker=place(rabbitmq)) == 1
        # The first is back, and what served last is asked first.
        await asyncio.to_thread(server.start)
        await worker.process.link.give_back()
        await worker.consuming(generation=3)
        await publish(range(40, 60), 60)
        assert worker.process.health()["broker"]["host"] == place(rabbitmq)
        await worker.stop()


async def test_commands_take_the_one_that_answers(server: Server, rabbitmq: Server, both: str, tmp_path: Path) -> None:
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"id": 1}\n{"id": 2}\n')
    await broker.declare_queue(rabbitmq.url, NAME, NAME, {"x-queue-type": "quorum"})
    await asyncio.to_thread(server.stop)
    hosts = both.partition("@")[2].rstrip("/")
    penstock = Installation({"RABBITMQ_HOST": hosts})
    done = await asyncio.to_thread(
        penstock.penstock, "publish", "jsonl", lines, "--exchange", NAME, "--routing-key", "any"
    )
    assert done.returncode == 0, done.stderr
    assert await broker.depth(rabbitmq.url, NAME) == 2
    checked = await asyncio.to_thread(penstock.penstock, "check", "discogs-table")
    [line] = [line for line in checked.stdout.splitlines() if "RabbitMQ" in line]
    assert "ok" in line
    nobody = Installation({"RABBITMQ_HOST": f"{place(server)},127.0.0.1:1", "RABBITMQ_PASSWORD": "Tr0ub4dor"})
    checked = await asyncio.to_thread(nobody.penstock, "check", "discogs-table")
    assert f"cannot connect to RabbitMQ at amqp://guest@{place(server)}/%2F: " in checked.stdout
    assert "; cannot connect to RabbitMQ at amqp://guest@127.0.0.1:1/%2F: " in checked.stdout
    assert "Tr0ub4dor" not in checked.stdout + checked.stderr
