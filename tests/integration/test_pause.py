"""A pause under load: nothing goes back to the queue, and the order stays (decision 0026)."""

from __future__ import annotations

from penstock.settings import BatchSettings
from support.notes import quick, running

PAUSES = 10
COUNT = 6000


async def test_what_is_on_its_way_when_the_consumer_pauses_is_waited_for(broker_url: str) -> None:
    async with running(broker_url, quick(broker_url, batch=BatchSettings(count=50))) as worker:
        worker.sink.hold()
        await worker.publish(range(COUNT))
        worker.sink.let()
        link = worker.process.link
        for pause in range(1, PAUSES + 1):
            await worker.until(lambda wanted=pause * 400: len(worker.sink.ids) > wanted, "it is under load")
            await link.pause("test")
            assert not link.consuming
            await link.resume("test")
        await worker.settled(COUNT)
        assert link.generation == 1
        assert worker.metric("penstock_outcomes_total") == COUNT
        # What had gone back would have been delivered after its neighbours by RabbitMQ 3.10.
        assert worker.sink.ids == list(range(COUNT))
        await worker.stop()
