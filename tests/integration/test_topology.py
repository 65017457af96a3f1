"""What a worker makes, or checks, or leaves alone of its queues."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from penstock.errors import TopologyError, TopologyMissing
from penstock.settings import QueueSettings, Settings
from penstock.testing import MemorySink
from penstock.topology import topology_of
from support import broker
from support.notes import declare, quick, running, starting
from support.spilling import event_worker

if TYPE_CHECKING:
    from penstock.drill.servers.management import Management

RETRY_QUEUES = [f"notes.retry.{seconds}s" for seconds in (1, 5, 25, 125, 600)]
OURS: dict[str, str | int] = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 1000,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "notes.dlq",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


def waiting(seconds: int) -> dict[str, str | int]:
    """The arguments of a retry queue."""
    return {
        "x-queue-type": "quorum",
        "x-message-ttl": 1000 * seconds,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": "notes",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }


async def test_what_is_declared_can_be_checked_and_declared_again(
    broker_url: str, virtual_host: str, management: Management
) -> None:
    async with running(broker_url):
        found = {queue["name"]: queue["arguments"] for queue in management.queues(virtual_host)}
    assert found == {
        "notes": OURS,
        "notes.dlq": {"x-queue-type": "classic"},
        "notes.suspects": {"x-queue-type": "classic", "x-message-ttl": 7 * 24 * 3600 * 1000},
        **{f"notes.retry.{seconds}s": waiting(seconds) for seconds in (1, 5, 25, 125, 600)},
    }
    for mode in ("check", "declare"):
        async with running(broker_url, quick(broker_url, queue=QueueSettings(topology=mode))) as worker:
            await worker.publish([1])
            await worker.settled(1)


async def test_a_worker_whose_records_may_not_be_late_has_no_retry_queues() -> None:
    worker = event_worker(MemorySink("upsert"), model=dict[str, int])
    assert [queue.name for queue in topology_of(worker, Settings()).others] == ["events.dlq", "events.suspects"]


@pytest.mark.parametrize("missing", ["notes", "notes.dlq", "notes.suspects", "notes.retry.5s"])
async def test_check_names_the_queue_that_is_missing_and_makes_none(
    broker_url: str, virtual_host: str, management: Management, missing: str
) -> None:
    others = sorted({"notes", "notes.dlq", "notes.suspects", *RETRY_QUEUES} - {missing})
    for other in others:
        await broker.declare_queue(broker_url, other, "notes", {})
    with pytest.raises(TopologyMissing, match=f"no queue '{missing}' .*PENSTOCK_QUEUE__TOPOLOGY=declare"):
        await fails(broker_url, QueueSettings(topology="check"))
    assert sorted(queue["name"] for queue in management.queues(virtual_host)) == others


async def test_check_says_which_arguments_a_queue_that_is_missing_must_have(broker_url: str) -> None:
    """Nobody can be told later: of a queue that is there, `check` sees no arguments."""
    for other in sorted({"notes", "notes.dlq", "notes.suspects", *RETRY_QUEUES} - {"notes.retry.25s"}):
        await broker.declare_queue(broker_url, other, "notes", {})
    with pytest.raises(TopologyMissing) as refused:
        await fails(broker_url, QueueSettings(topology="check"))
    told = str(refused.value)
    assert json.loads(told[told.index("{") : told.index("}") + 1]) == waiting(25)
    assert "Create it durable, with the arguments {" in told


async def test_check_names_the_exchange_that_is_missing(broker_url: str) -> None:
    with pytest.raises(TopologyMissing, match=r"no exchange 'notes' .*PENSTOCK_QUEUE__TOPOLOGY=declare"):
        await fails(broker_url, QueueSettings(topology="check"))


async def test_check_takes_queues_as_they_are(broker_url: str, virtual_host: str, management: Management) -> None:
    await declare(broker_url, {"x-delivery-limit": 7})
    before = management.queues(virtual_host)
    async with running(broker_url, quick(broker_url, queue=QueueSettings(topology="check"))) as worker:
        await worker.publish(range(5))
        await worker.settled(5)
        assert worker.sink.ids == list(range(5))
    after = management.queues(virtual_host)
    assert [(queue["name"], queue["arguments"]) for queue in after] == [
        (queue["name"], queue["arguments"]) for queue in before
    ]


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({}, "x-dead-letter-exchange"),
        (OURS | {"x-delivery-limit": 7}, "x-delivery-limit"),
        (OURS | {"x-overflow": "drop-head"}, "x-overflow"),
        (OURS | {"x-max-length": 10}, "x-max-length"),
    ],
)
async def test_a_queue_with_other_arguments_is_an_error_that_names_one(
    broker_url: str, arguments: dict[str, str | int], name: str
) -> None:
    await declare(broker_url, arguments)
    with pytest.raises(TopologyError, match=f"'{name}' for queue 'notes'.*PENSTOCK_QUEUE__TOPOLOGY=check"):
        await fails(broker_url, QueueSettings())


async def test_none_looks_at_nothing(broker_url: str, virtual_host: str, management: Management) -> None:
    settings = quick(broker_url, queue=QueueSettings(topology="none"))
    async with starting(broker_url, settings) as worker:
        await worker.until(lambda: worker.process.link.generation > 0, "it has a channel")
        assert not worker.process.link.consuming
        assert management.queues(virtual_host) == []
        # No exchange, no DLQ: only the queue is needed.
        await broker.declare_queue(broker_url, "notes", "another", {"x-queue-type": "quorum"})
        await worker.consuming()
        await broker.publish(broker_url, "another", [("any", {"id": 1})])
        await worker.settled(1)


async def fails(url: str, queue: QueueSettings) -> None:
    """Start the worker and wait for its end."""
    async with starting(url, quick(url, queue=queue)) as worker:
        await worker.until(worker.task.done, "it gives up")
