"""A record that ends the process of its worker is found, alone, and takes no neighbour with it."""

from __future__ import annotations

import asyncio
import json
import random

import pytest

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores

WORKER = "shop-parcels"
#: How often the worker may die over one message alone, as these tests set it.
DEATHS = 3
#: More than ten short lives can write.
COUNT = 10_000
#: Kills.
TURNS = 10


@pytest.fixture
def shop(outside_python: str, rabbitmq_url: str, postgres_url: str) -> Installation:
    found = Installation({"RABBITMQ_URL": rabbitmq_url, "POSTGRES_URL": postgres_url}, outside_python)
    found.drain(WORKER)
    return found.with_settings(queue__max_deliveries=DEATHS)


def parcel(number: int, **fields: bool) -> tuple[str, dict[str, int]]:
    return "parcel", {"number": number, **fields}


async def test_a_record_that_ends_the_process_is_dead_lettered_after_as_many_deaths_alone(
    shop: Installation, rabbitmq_url: str, postgres_url: str
) -> None:
    bad = 250
    await broker.publish(rabbitmq_url, "shop", [parcel(number, explosive=number == bad) for number in range(500)])
    deaths = 0
    while True:
        with shop.start("run", WORKER, "--drain") as worker:
            code = worker.wait(120)
            if code == 0:
                break
            assert code == 70, worker.output()
            deaths += 1
            assert deaths <= 3 + DEATHS, "it is found"
    # Three times among the others, then as often alone as it may.
    assert deaths == 3 + DEATHS
    assert await stores.rows(postgres_url, "parcels") == 499
    [letter] = await broker.take_all(rabbitmq_url, f"{WORKER}.dlq")
    assert json.loads(letter.body)["number"] == bad
    assert letter.headers["penstock-error-reason"] == "worker_died"
    assert f"died {DEATHS} times" in str(letter.headers["penstock-error-message"])
    assert await broker.depth(rabbitmq_url, WORKER) == 0
    assert await broker.depth(rabbitmq_url, f"{WORKER}.suspects") == 0


async def test_ten_innocent_kills_dead_letter_nothing(shop: Installation, rabbitmq_url: str, postgres_url: str) -> None:
    """Small batches and many of them, so that each kill finds some held, and later ones find suspects."""
    chance = random.Random(6)
    slow = shop.with_settings(batch__count=20, queue__prefetch=100)
    for turn in range(TURNS):
        # Some for each, however fast those before were.
        numbers = range(turn * COUNT // TURNS, (turn + 1) * COUNT // TURNS)
        await broker.publish(rabbitmq_url, "shop", [parcel(number) for number in numbers])
        with slow.start("run", WORKER) as worker:
            wait_until(lambda running=worker: running.metric("penstock_received_messages_total") > 0, 60, "a delivery")
            await asyncio.sleep(chance.uniform(0, 0.1))
            worker.kill()
    counts = shop.drain(WORKER)[WORKER]
    assert counts["dead_lettered"] == 0
    assert await stores.rows(postgres_url, "parcels") == COUNT
    assert await broker.depth(rabbitmq_url, f"{WORKER}.dlq") == 0
