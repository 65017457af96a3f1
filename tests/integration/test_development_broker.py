"""The main job on the development broker: published, written and settled by the commands as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.drill.installation import Installation
from support import broker, stores

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.drill.servers import Server


async def test_the_sample_gets_into_the_tables_once(development: Server, sample_data: Path, postgres_url: str) -> None:
    penstock = Installation({"RABBITMQ_URL": development.url, "POSTGRES_URL": postgres_url})

    penstock.done("publish", "discogs", sample_data / "discogs")
    assert await broker.depth(development.url, "discogs-table") == 1600
    assert penstock.drain("discogs-table")["discogs-table"]["written"] == 1600
    assert await stores.discogs_rows(postgres_url) == dict.fromkeys(stores.TABLES, 400)

    penstock.done("publish", "discogs", sample_data / "discogs")
    ended = penstock.drain("discogs-table")["discogs-table"]
    assert (ended["duplicate"], ended["written"]) == (1600, 0)
    assert await broker.depth(development.url, "discogs-table") == 0
    assert await broker.depth(development.url, "discogs-table.dlq") == 0


async def test_a_bad_record_ends_in_the_dead_letter_queue(development: Server, postgres_url: str) -> None:
    penstock = Installation({"RABBITMQ_URL": development.url, "POSTGRES_URL": postgres_url})
    penstock.drain("discogs-table")
    good = {"type": "artist", "id": "1", "name": "one"}
    await broker.publish(development.url, "discogs", [("artist", b"{"), ("artist", good)])
    ended = penstock.drain("discogs-table")["discogs-table"]
    assert (ended["written"], ended["dead_lettered"]) == (1, 1)
    [letter] = await broker.take_all(development.url, "discogs-table.dlq")
    assert (letter.body, letter.headers["penstock-worker"]) == (b"{", "discogs-table")
