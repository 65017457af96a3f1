"""What waits in a retry queue outlives the broker that is killed over it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from penstock.drill.servers.management import Management
from penstock.outcome import Transient
from penstock.settings import BatchSettings, QueueSettings, RetrySettings
from support import broker
from support.notes import quick, running

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers import Server
    from penstock.outcome import Refusal
    from penstock.record import Record

MESSAGES = 5000
#: Seconds that they wait there.
LATER = 25
EARLY = Transient("foreign_key", "23503", "no such customer")


@pytest.fixture(params=["own_rabbitmq", "own_rabbitmq4"])
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A broker of either version, found running by the next test."""
    found: Server = request.getfixturevalue(request.param)
    yield found
    found.thaw()
    found.start()


async def test_a_broker_killed_while_five_thousand_wait_loses_none(server: Server) -> None:
    """They wait for so long that all of them are there together, and die with the broker before the first is back."""
    retry = RetrySettings(min=0.001, max=0.001, later_min=LATER, later_max=LATER)
    batch = BatchSettings(count=250, period=0.05)
    settings = quick(server.url, retry=retry, batch=batch, queue=QueueSettings(prefetch=1000))

    def refuses(record: Record) -> Refusal | None:
        return None if record.delivery.headers.get("penstock-attempts") else EARLY

    async with running(server.url, settings, name="waiting") as worker:
        worker.sink.refuses = refuses
        bodies = [("note.new", {"id": number, "version": 1}) for number in range(MESSAGES)]
        await asyncio.gather(broker.publish(server.url, "waiting", bodies), asyncio.sleep(broker.YOUNG))
        settled = "penstock_settled_messages_total"
        await worker.until(lambda: worker.metric(settled, settlement="retry") == MESSAGES, "all wait", LATER)
        # Where an ack is still on its way, the message comes again after the kill, and waits once more.
        with Management(server.address) as management:
            await worker.until(lambda: management.queue("/", "waiting")["messages"] == 0, "the acks have come", LATER)
        assert worker.sink.states == {}
        await asyncio.to_thread(server.kill)
        await worker.until(lambda: not worker.process.link.connected, "the link is down")
        await asyncio.to_thread(server.start)
        await worker.until(lambda: len(worker.sink.states) == MESSAGES, "all are written", 180)
        await worker.until(lambda: not worker.process.link.held, "all are settled")
        assert worker.sink.states.keys() == set(range(MESSAGES))
        assert worker.metric("penstock_dead_lettered_total") == 0
        await worker.stop()
    assert [await broker.depth(server.url, f"waiting{end}") for end in ("", ".dlq", f".retry.{LATER}s")] == [0, 0, 0]
