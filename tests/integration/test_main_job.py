"""The main job: real Discogs records from RabbitMQ into PostgreSQL and Neo4j, by two processes at the same time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from integration.discogs_counts import graph_of
from support import broker, stores

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.drill.installation import Installation

WORKERS = ("discogs-table", "discogs-graph")


async def test_the_sample_gives_exactly_its_rows_nodes_and_edges_and_again_changes_nothing(
    penstock: Installation, sample_data: Path, postgres_url: str, neo4j_url: str
) -> None:
    wanted = graph_of(sample_data / "discogs")

    penstock.done("publish", "discogs", sample_data / "discogs")
    ended = penstock.drain(*WORKERS)
    assert {name: counts["written"] for name, counts in ended.items()} == dict.fromkeys(WORKERS, 1600)
    assert await stores.discogs_rows(postgres_url) == dict.fromkeys(stores.TABLES, 400)
    assert stores.nodes(neo4j_url) == wanted.nodes
    assert stores.edges(neo4j_url) == wanted.edges
    rows, graph = await stores.row_versions(postgres_url), stores.whole_graph(neo4j_url)

    penstock.done("publish", "discogs", sample_data / "discogs")
    ended = penstock.drain(*WORKERS)
    assert {name: (counts["duplicate"], counts["written"]) for name, counts in ended.items()} == dict.fromkeys(
        WORKERS, (1600, 0)
    )
    assert await stores.row_versions(postgres_url) == rows
    assert stores.whole_graph(neo4j_url) == graph


def artist(number: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "artist", {"type": "artist", "id": number, "name": f"artist {number}", **fields}


def release(number: str, **fields: Any) -> tuple[str, dict[str, Any]]:
    return "release", {"type": "release", "id": number, "title": f"release {number}", **fields}


def names(*numbers: str) -> list[dict[str, str]]:
    return [{"id": number} for number in numbers]


async def settle(penstock: Installation, broker_url: str, *messages: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """Publish and drain both workers; what they counted."""
    await broker.publish(broker_url, "discogs", messages)
    return penstock.drain(*WORKERS)


def node(kind: str, number: str) -> tuple[str, str]:
    return kind, number


@pytest.fixture
async def declared(penstock: Installation) -> None:
    """The queues are there."""
    penstock.drain(*WORKERS)


@pytest.mark.usefixtures("declared")
async def test_a_changed_record_moves_its_edges_and_no_others(
    penstock: Installation, broker_url: str, neo4j_url: str, postgres_url: str
) -> None:
    await settle(
        penstock,
        broker_url,
        artist("1", aliases=names("2", "3"), members=names("4", "5")),
        artist("4", groups=names("1")),
        release("9", labels=[{"id": "70", "name": "old"}], genres=["Rock"]),
    )
    before = stores.edges(neo4j_url)
    claimed = ("MEMBER_OF", node("Artist", "4"), node("Artist", "1"))
    unclaimed = ("MEMBER_OF", node("Artist", "5"), node("Artist", "1"))
    assert {claimed, unclaimed} <= before

    await settle(
        penstock,
        broker_url,
        artist("1", aliases=names("3")),
        release("9", labels=[{"id": "71", "name": "new"}], genres=["Rock"]),
    )
    after = stores.edges(neo4j_url)
    assert before - after == {
        ("ALIAS_OF", node("Artist", "2"), node("Artist", "1")),
        unclaimed,
        ("ON", node("Release", "9"), node("Label", "70")),
    }
    assert after - before == {("ON", node("Release", "9"), node("Label", "71"))}
    assert claimed in after
    assert {node("Artist", "2"), node("Artist", "5"), node("Label", "70")} <= stores.nodes(neo4j_url)
    [[data]] = await stores.ask(postgres_url, "SELECT data->'labels'->0->>'id' FROM releases WHERE data_id = '9'")
    assert data == "71"


@pytest.mark.usefixtures("declared")
async def test_versions_decide(penstock: Installation, broker_url: str, neo4j_url: str, postgres_url: str) -> None:
    async def stored() -> tuple[Any, Any]:
        [row] = await stores.ask(postgres_url, "SELECT data->>'name', version FROM artists WHERE data_id = '1'")
        [in_graph] = stores.query(neo4j_url, "MATCH (a:Artist {id: '1'}) RETURN a.name, a.version")
        return row, in_graph

    await settle(penstock, broker_url, artist("1", name="five", version=5))
    assert await stored() == (["five", 5], ["five", 5])

    ended = await settle(penstock, broker_url, artist("1", name="four", version=4))
    assert {name: counts["duplicate"] for name, counts in ended.items()} == dict.fromkeys(WORKERS, 1)
    assert await stored() == (["five", 5], ["five", 5])

    await settle(penstock, broker_url, artist("1", name="five again", version=5))
    assert await stored() == (["five again", 5], ["five again", 5])

    await settle(penstock, broker_url, artist("1", name="five again", version=6))
    await settle(penstock, broker_url, artist("1", name="between", version=5))
    assert await stored() == (["five again", 6], ["five again", 6])


@pytest.mark.usefixtures("declared")
async def test_in_one_batch_the_newest_stands_and_a_refused_one_gives_way(
    penstock: Installation, broker_url: str, postgres_url: str
) -> None:
    bad = artist("1", name="\x00", version=9)
    messages = [artist("1", name="one", version=7), artist("1", name="two", version=8), bad, artist("2"), artist("2")]
    await broker.publish(broker_url, "discogs", messages)
    ended = penstock.drain("discogs-table")["discogs-table"]
    assert (ended["written"], ended["superseded"], ended["dead_lettered"]) == (2, 2, 1)
    assert await stores.ask(postgres_url, "SELECT data->>'name', version FROM artists WHERE data_id = '1'") == [
        ["two", 8]
    ]
    [letter] = await broker.take_all(broker_url, "discogs-table.dlq")
    assert b'"version": 9' in letter.body
