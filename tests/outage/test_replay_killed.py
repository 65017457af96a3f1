"""kill -9 of `penstock dlq replay`, at random moments, while its worker writes what comes."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import TYPE_CHECKING

from pamqp.commands import Basic

from penstock.drill.installation import Installation
from support import broker, bulk, replays, stores
from support.wait import INTERVAL

if TYPE_CHECKING:
    from penstock.drill.installation import Process

WORKER = "drill-ledger"
DLQ = f"{WORKER}.dlq"
LETTERS = 8000
#: How many letters each replay that is killed has on their way at once.
KILLS = (1, 50) * 8
#: A replay is killed within so many seconds of its beginning.
LONGEST = 0.3


async def test_sixteen_kills_lose_no_letter_and_write_none_twice(rabbitmq_url: str, postgres_url: str) -> None:
    penstock = Installation({"RABBITMQ_URL": rabbitmq_url, "POSTGRES_URL": postgres_url, "LOG_FORMAT": "json"})
    penstock.drain(WORKER)
    names = [f"m{number}" for number in range(LETTERS)]
    letters = [
        (
            json.dumps({"id": name, "key": 1, "version": 1}).encode(),
            Basic.Properties(headers=replays.headers(name), delivery_mode=2, message_id=name),
        )
        for name in names
    ]
    await bulk.put(rabbitmq_url, DLQ, letters)
    seed = random.randrange(10_000)
    chance = random.Random(seed)
    repeated = 0
    with penstock.start("run", WORKER) as worker:
        worker.wait_ready()
        for kill, in_flight in enumerate(KILLS, 1):
            with penstock.start("dlq", "replay", WORKER, "--in-flight", str(in_flight)) as replay:
                replay.wait_for("dead_letters_replayed")
                await asyncio.sleep(chance.uniform(0, LONGEST))
                assert replay.running, f"seed {seed}: the replay was over before kill {kill}\n{replay.output()}"
                replay.kill()
            left, written = await settled(names, rabbitmq_url, postgres_url, worker)
            assert max(left.values(), default=1) == 1
            assert max(written.values(), default=1) == 1, f"seed {seed}: written twice at kill {kill}"
            # What was on its way is in both places, and the next replays leave it: its row was written since.
            both = len(left.keys() & written.keys())
            new = both - repeated
            assert new <= in_flight, f"seed {seed}: kill {kill} left {new} letters of {in_flight} in both places"
            repeated = both
        assert 0 < written.total() < LETTERS
        penstock.done("dlq", "replay", WORKER, "--force", "--in-flight", "50")
        left, written = await settled(names, rabbitmq_url, postgres_url, worker)
        assert not left
        assert written == Counter(names)
        assert worker.metric("penstock_outcomes_total", outcome="duplicate") == repeated
        assert worker.metric("penstock_dead_lettered_total") == 0
        assert worker.stop() == 0


async def settled(
    names: list[str], rabbitmq_url: str, postgres_url: str, worker: Process
) -> tuple[Counter[str], Counter[str]]:
    """The letters left and the rows written, once every name is in one of the two and the queue is empty."""
    missing = set(names)
    try:
        async with asyncio.timeout(60):
            while True:
                if not await busy(rabbitmq_url, worker):
                    found = [json.loads(body)["id"] async for _, body in bulk.letters(rabbitmq_url, DLQ)]
                    rows = await stores.ask(postgres_url, "SELECT id FROM drill_ledger")
                    left, written = Counter(found), Counter(row[0] for row in rows)
                    missing = set(names) - left.keys() - written.keys()
                    if not missing and not await busy(rabbitmq_url, worker):
                        return left, written
                await asyncio.sleep(INTERVAL)
    except TimeoutError:
        raise AssertionError(f"{len(missing)} letters are lost, or the queue is not drained") from None


async def busy(rabbitmq_url: str, worker: Process) -> bool:
    """Whether letters are still on their way: to the worker, or back into the DLQ from a replay that was killed."""
    async with broker.channel(rabbitmq_url) as opened:
        queue, letters = [(await opened.get_queue(name)).declaration_result for name in (WORKER, DLQ)]
    return bool(queue.message_count or letters.consumer_count or worker.metric("penstock_held_messages"))
