"""A message whose very frame the client library cannot read ends every channel it comes on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.settings import QueueSettings
from support import broker
from support.notes import quick, running

if TYPE_CHECKING:
    import pytest

    from penstock.drill.servers.management import Management

#: Seconds since the epoch in the year 285,428,751: more than Python's clock can say.
NO_TIME = 2**53


async def test_it_takes_no_neighbour_with_it(
    broker_url: str, virtual_host: str, management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    settings = quick(broker_url, queue=QueueSettings(delivery_limit=8, prefetch=40))
    async with running(broker_url, settings) as worker:
        await worker.process.link.pause("test")
        await worker.publish(range(30))
        await asyncio.to_thread(management.publish, virtual_host, "notes", {"timestamp": NO_TIME}, "{}")
        await worker.publish(range(30, 100))
        await worker.process.link.resume("test")
        # What was acked on a dying connection comes again, so that outcomes alone do not say when it is over.
        await worker.until(lambda: len(worker.sink.states) == 100 and not worker.process.link.held, "all written", 60)
        assert set(worker.sink.ids) == set(range(100))
        await asyncio.to_thread(management.wait_for_messages, virtual_host, "notes.dlq", 1)
        await worker.stop()
    assert await broker.depth(broker_url, "notes") == 0
    assert "timestamp" in caplog.text or "year" in caplog.text
