"""kill -9 of `penstock dlq replay`, at random moments, while its worker writes what comes."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from typing import TYPE_CHECKING

from penstock.drill.installation import Installation
from support import broker, replays, stores
from support.wait import INTERVAL

if TYPE_CHECKING:
    from penstock.drill.installation import Process

WORKER = "drill-ledger"
LETTERS = 2000
KILLS = 20
#: A replay is killed within so many seconds of its beginning.
LONGEST = 0.3


async def test_twenty_kills_lose_no_letter_and_write_none_twice(rabbitmq_url: str, postgres_url: str) -> None:
    penstock = Installation({"RABBITMQ_URL": rabbitmq_url, "POSTGRES_URL": postgres_url, "LOG_FORMAT": "json"})
    penstock.drain(WORKER)
    names = [f"m{number}" for number in range(LETTERS)]
    bodies = [json.dumps({"id": name, "key": 1, "version": 1}).encode() for name in names]
    letters = [(body, replays.headers(name)) for name, body in zip(names, bodies, strict=True)]
    await replays.put(rabbitmq_url, f"{WORKER}.dlq", letters)
    seed = random.randrange(10_000)
    chance = random.Random(seed)
    repeated = 0
    with penstock.start("run", WORKER) as worker:
        worker.wait_ready()
        for kill in range(1, KILLS + 1):
            with penstock.start("dlq", "replay", WORKER) as replay:
                replay.wait_for("dead_letters_replayed")
                await asyncio.sleep(chance.uniform(0, LONGEST))
                assert replay.running, f"seed {seed}: the replay was over before kill {kill}\n{replay.output()}"
                replay.kill()
            left, written = await settled(names, rabbitmq_url, postgres_url, worker)
            assert max(left.values(), default=1) == 1
            assert max(written.values(), default=1) == 1, f"seed {seed}: written twice at kill {kill}"
            # What was on its way is in both places, and the next replays leave it: its row was written since.
            both = len(left.keys() & written.keys())
            assert both - repeated <= 1, f"seed {seed}: kill {kill} left {both - repeated} letters in both places"
            repeated = both
        assert 0 < written.total() < LETTERS
        penstock.done("dlq", "replay", WORKER, "--force")
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
            while missing or await broker.depth(rabbitmq_url, WORKER) or worker.metric("penstock_held_messages"):
                await asyncio.sleep(INTERVAL)
                letters = await replays.look(rabbitmq_url, f"{WORKER}.dlq")
                left = Counter(json.loads(letter.body)["id"] for letter in letters)
                rows = await stores.ask(postgres_url, "SELECT id FROM drill_ledger")
                written = Counter(row[0] for row in rows)
                missing = set(names) - left.keys() - written.keys()
    except TimeoutError:
        raise AssertionError(f"{len(missing)} letters are lost, or the queue is not drained") from None
    return left, written
