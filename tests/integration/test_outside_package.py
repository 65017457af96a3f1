"""A package outside this repository adds workers that run by name."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

from penstock.drill.installation import Installation
from support import broker, stores

if TYPE_CHECKING:
    from pathlib import Path


async def test_its_own_model_and_sink_run_by_name(outside_python: str, broker_url: str, tmp_path: Path) -> None:
    notes = tmp_path / "notes.db"
    shop = Installation({"RABBITMQ_URL": broker_url, "SHOP_NOTES": str(notes)}, outside_python)
    assert "shop-notes" in shop.done("list")
    shop.drain("shop-notes")
    sent = [("note", {"id": number, "text": f"note {number}"}) for number in range(1200)]
    await broker.publish(broker_url, "shop", [*sent, ("note", b"no note"), *sent])
    ended = shop.drain("shop-notes")["shop-notes"]
    assert (ended["received"], ended["written"], ended["dead_lettered"]) == (2401, 1200, 1)
    with closing(sqlite3.connect(notes)) as database:
        assert database.execute("SELECT count(*), count(DISTINCT text) FROM notes").fetchone() == (1200, 1200)
    [letter] = await broker.take_all(broker_url, "shop-notes.dlq")
    assert letter.body == b"no note"


def test_a_missing_extra_is_one_line_that_says_what_to_install(outside_python: str) -> None:
    # This environment has the extra `table` alone.
    result = Installation({}, outside_python).penstock("run", "discogs-graph")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "pip install 'penstock[graph]'" in line


async def test_its_events_are_entered_once(outside_python: str, broker_url: str, postgres_url: str) -> None:
    shop = Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url}, outside_python)
    shop.drain("shop-orders")
    orders = [("order", {"number": number, "customer": 1, "sequence": number}) for number in range(700)]
    await broker.publish(broker_url, "shop", [*orders, *orders])
    ended = shop.drain("shop-orders")["shop-orders"]
    assert (ended["written"], ended["duplicate"]) == (700, 700)
    assert await stores.rows(postgres_url, "orders") == 700
