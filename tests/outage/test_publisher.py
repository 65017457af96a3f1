"""10,000 publishes through a kill -9 of broker and of publisher: every publish that returned is there, once by key."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import SecretStr

from penstock import Confirmed, Publisher, Stored
from penstock.drill.servers.wait import wait_until
from penstock.settings import OutboxSettings, RabbitMQ, RetrySettings, Settings
from support import broker
from support.publishing import CALLERS

if TYPE_CHECKING:
    from penstock.drill.servers import Server

PROGRAM = Path(broker.__file__).with_name("publishing.py")
COUNT = 10_000


async def declare(url: str) -> None:
    async with broker.channel(url) as channel:
        await channel.queue_delete("orders")
    await broker.declare_queue(url, "orders", "shop", {"x-queue-type": "quorum"})
    await asyncio.sleep(broker.YOUNG)


class Publishing:
    """The program of tests/support/publishing.py, killed and started again."""

    def __init__(self, url: str, folder: Path) -> None:
        self._folder = folder
        self._environment = {
            "PYTHONPATH": ":".join(filter(None, sys.path)),
            "RABBITMQ_URL": url,
            "PENSTOCK_OUTBOX__PATH": str(folder / "outbox.sqlite"),
            "PENSTOCK_RETRY__MAX": "1",
        }
        self._lives = 0

    def start(self, first: int) -> subprocess.Popen[bytes]:
        """Publish the numbers from `first` on."""
        self._lives += 1
        command = [sys.executable, str(PROGRAM), str(first), str(COUNT)]
        with (self._folder / f"{self._lives}.out").open("wb") as out, (self._folder / "log").open("ab") as log:
            return subprocess.Popen(command, env=self._environment, stdout=out, stderr=log)

    def returned(self) -> list[int]:
        """The numbers whose publish has returned, in any life."""
        text = "".join((self._folder / f"{life + 1}.out").read_text() for life in range(self._lives))
        # A line that a kill has cut short is one that nobody was told.
        return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def returns(self, count: int) -> None:
        """Wait until so many have returned."""
        wait_until(
            lambda: len(self.returned()) >= count, 60, f"{count} publishes\n{(self._folder / 'log').read_text()}"
        )


def play(server: Server, publishing: Publishing) -> None:
    """Kill the broker, then the publisher while it stores; both again, while the outbox is drained; let it end."""
    process = publishing.start(0)
    try:
        publishing.returns(2000)
        server.kill()
        publishing.returns(4000)
        process.kill()
        process.wait(10)
        process = publishing.start(max(publishing.returned()) + 1)
        publishing.returns(5000)
        server.start()
        publishing.returns(6000)
        process.kill()
        process.wait(10)
        server.kill()
        process = publishing.start(max(publishing.returned()) + 1)
        publishing.returns(8000)
        server.start()
        assert process.wait(120) == 0
    finally:
        process.kill()
        process.wait(10)


async def test_ten_thousand_publishes_through_kills_of_both(server: Server, tmp_path: Path) -> None:
    await declare(server.url)
    publishing = Publishing(server.url, tmp_path)
    await asyncio.to_thread(play, server, publishing)
    found = await broker.take_all(server.url, "orders")
    returned = publishing.returned()
    assert max(returned) == COUNT - 1
    assert Counter(returned).most_common(1)[0][1] == 1
    keys = [str(message.headers["penstock-key"]) for message in found]
    assert {f"order-{number}" for number in returned} <= set(keys)
    # However often it was sent, a message has one id and one key; what was under way at a kill was published again.
    ids = {(key, message.message_id) for key, message in zip(keys, found, strict=True)}
    assert len(ids) - len(set(keys)) <= 2 * CALLERS
    assert all(key == f"order-{int(message.body)}" for key, message in zip(keys, found, strict=True))


async def test_a_broker_that_freezes_costs_the_time_limit_and_no_message(server: Server, tmp_path: Path) -> None:
    await declare(server.url)
    settings = Settings(
        rabbitmq=RabbitMQ(url=SecretStr(server.url), publish_timeout=1, connect_timeout=1),
        outbox=OutboxSettings(path=str(tmp_path / "outbox.sqlite")),
        retry=RetrySettings(min=0.1, max=0.5),
    )
    async with Publisher(settings) as publisher:

        async def publish(first: int) -> list[type]:
            numbers = range(first, first + 100)
            return [
                type(one)
                for one in await asyncio.gather(*(publisher.publish("shop", "order", b"%d" % n) for n in numbers))
            ]

        assert await publish(0) == [Confirmed] * 100
        await asyncio.to_thread(server.freeze)
        assert await publish(100) == [Stored] * 100
        assert await publish(200) == [Stored] * 100
        assert publisher.stats().pending == 200
        await asyncio.to_thread(server.thaw)
        async with asyncio.timeout(30):
            await publisher.flush()
        assert await publish(300) == [Confirmed] * 100
    found = await broker.take_all(server.url, "orders")
    first_seen = list(dict.fromkeys(str(message.headers["penstock-key"]) for message in found))
    bodies = {str(message.headers["penstock-key"]): int(message.body) for message in found}
    assert [bodies[key] for key in first_seen] == list(range(400))
