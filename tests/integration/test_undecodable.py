"""Messages whose properties the client library cannot read."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from penstock.drill.installation import Installation
from penstock.settings import QueueSettings
from support import broker, replays
from support.notes import quick, running

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from penstock.drill.servers.management import Management

#: Seconds since the epoch in the year 285,428,751: more than Python's clock can say.
NO_TIME = 2**53
LEFT_OUT = "penstock-headers-left-out"
LEDGER = "drill-ledger"
DLQ = f"{LEDGER}.dlq"


def unreadable(key: str) -> dict[str, object]:
    """Properties of which the headers can be read, and the timestamp cannot."""
    return {"timestamp": NO_TIME, "message_id": "m1", "headers": {"penstock-key": key}}


async def test_they_are_written_or_dead_lettered_like_any_other(
    broker_url: str, virtual_host: str, management: Management, capsys: pytest.CaptureFixture[str]
) -> None:
    async with running(broker_url) as worker:
        await worker.publish(range(30))
        for key, body in (("one", '{"id": 1000}'), ("one", '{"id": 1000}'), ("bad", '{"id": "none"}')):
            await asyncio.to_thread(management.publish, virtual_host, "notes", unreadable(key), body)
        await worker.publish(range(30, 60))
        await worker.settled(63)
        assert worker.metric("penstock_channel_generation") == 1
        assert set(worker.sink.ids) == {*range(60), 1000}
        [found] = {record.key for batch in worker.sink.batches for record in batch.records if record.row["id"] == 1000}
        assert found == "one"
        await worker.stop()
    assert await broker.depth(broker_url, "notes") == 0
    [letter] = await replays.look(broker_url, "notes.dlq")
    assert letter.body == b'{"id": "none"}'
    assert letter.headers[LEFT_OUT] is True
    assert (letter.headers["penstock-key"], letter.headers["penstock-error-reason"]) == ("bad", "invalid")
    assert letter.timestamp is None
    # Once for each whose properties somebody asked for.
    assert capsys.readouterr().out.count("properties_unreadable") >= 2


async def test_on_the_plain_path_one_takes_no_neighbour_with_it(
    broker_url: str, virtual_host: str, management: Management, caplog: pytest.LogCaptureFixture
) -> None:
    settings = quick(broker_url, fast_receive=False, queue=QueueSettings(delivery_limit=8, prefetch=40))
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


async def test_a_letter_that_is_one_can_be_looked_at_and_sent(
    broker_url: str, postgres_url: str, virtual_host: str, management: Management, tmp_path: Path
) -> None:
    installed = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url})
    installed.drain(LEDGER)
    body = '{"id": "m1", "key": 1, "version": 1}'
    for key in ("one", "two", "three"):
        await asyncio.to_thread(management.publish, virtual_host, DLQ, unreadable(key), body)
    listed = json.loads(installed.done("dlq", "list", LEDGER, "--json"))
    assert [(one["count"], one["trouble"]) for one in listed] == [(3, "")]
    assert "one" in installed.done("dlq", "show", LEDGER)
    exported = tmp_path / "letters.jsonl"
    installed.done("dlq", "export", LEDGER, "--output", str(exported))
    letters = [json.loads(line) for line in exported.read_text().splitlines()]
    assert [(one["key"], one["body"]) for one in letters] == [("one", body), ("two", body), ("three", body)]
    assert await broker.depth(broker_url, DLQ) == 3

    installed.done("dlq", "purge", LEDGER, "--key", "three", "--yes")
    installed.done("dlq", "replay", LEDGER, "--key", "one")
    [sent] = await replays.look(broker_url, LEDGER)
    assert (sent.body, sent.headers["penstock-key"], sent.headers[LEFT_OUT]) == (body.encode(), "one", True)
    installed.done("dlq", "edit", LEDGER, "--key", "two", "--set", "key=2")
    assert await broker.depth(broker_url, DLQ) == 0
    assert installed.drain(LEDGER)[LEDGER]["written"] == 2
