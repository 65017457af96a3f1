"""The graph sink against a real Neo4j and a real ArcadeDB, edge by edge."""

from __future__ import annotations

import asyncio
import gc
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from graphs import MUSIC, Store, batches, collection, connect, dice, expected, invented, record
from penstock.drill.servers import Address
from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN, Poison, Transient
from penstock.record import Batch
from penstock.settings import Neo4j
from penstock.sink import Endpoint
from penstock_workers.graph.row import NodeRow
from penstock_workers.graph.sink import GraphSink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from graphs import NodeName
    from penstock.outcome import Outcome
    from penstock.record import Record

ON_NEO4J = pytest.mark.parametrize("graph_url", [pytest.param("neo4j", marks=pytest.mark.neo4j)], indirect=True)
ON_ARCADEDB = pytest.mark.parametrize("graph_url", ["arcadedb"], indirect=True)


class Watched(str):
    """A text that says when it is gone."""

    __slots__ = ("gone",)
    gone: list[str]

    def __del__(self) -> None:
        self.gone.append(str(self))


def unopened_sink() -> GraphSink:
    return GraphSink(MUSIC, Neo4j(), "test-graph", time_limit=30)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[GraphSink]:
    sink = unopened_sink()
    await sink.open(Endpoint("graph", url))
    try:
        yield sink
    finally:
        await sink.close()


@pytest.fixture
async def sink(graph_url: str) -> AsyncIterator[GraphSink]:
    async with opened(graph_url) as sink:
        await sink.prepare()
        yield sink


@pytest.fixture
async def store(graph_url: str) -> AsyncIterator[Store]:
    async with connect(graph_url) as driver:
        yield Store(driver)


async def put(sink: GraphSink, *records: Record) -> list[Outcome]:
    return list(await sink.write(Batch(records)))


async def put_all(sink: GraphSink, rows: Iterable[NodeRow], size: int) -> list[Outcome]:
    return [outcome for batch in batches([record(row) for row in rows], size) for outcome in await sink.write(batch)]


async def test_the_graph_is_what_the_records_say(sink: GraphSink, store: Store) -> None:
    rows = collection(dice(1), 50).values()
    assert await put_all(sink, rows, 40) == [WRITTEN] * len(rows)
    await store.holds(MUSIC, rows)


async def test_the_same_records_again_change_nothing(sink: GraphSink) -> None:
    rows = collection(dice(2), 50).values()
    await put_all(sink, rows, 40)
    first = sink.counters.copy()
    assert first["nodes_created"] > 0
    assert first["relationships_created"] > 0
    assert await put_all(sink, rows, 35) == [DUPLICATE] * len(rows)
    assert sink.counters == first


async def test_to_warm_it_changes_nothing(sink: GraphSink, store: Store) -> None:
    rows = collection(dice(3), 20).values()
    await put_all(sink, rows, 20)
    counters = sink.counters.copy()
    await sink.warm()
    assert sink.counters == counters
    await store.holds(MUSIC, rows)


async def test_the_pool_and_how_long_a_read_takes_are_shown(sink: GraphSink) -> None:
    before = sink.pool_state()
    server = await sink.server_state()
    after = sink.pool_state()
    assert before is not None
    assert after is not None
    assert 0 < server.read_seconds < 5
    assert server.share is None
    assert after.lent == before.lent + 1
    assert after.acquire_seconds > before.acquire_seconds > 0
    assert (after.in_use, after.waiting, after.waits, after.limit, after.open) == (0, 0, 0, 50, None)
    await sink.close()
    assert sink.pool_state() is None
    with pytest.raises(SinkUnavailable):
        await sink.server_state()


async def test_kinds_mixed_in_a_batch_make_the_same_graph(sink: GraphSink, store: Store) -> None:
    chance = dice(3)
    rows = list(collection(chance, 50).values())
    chance.shuffle(rows)
    await put_all(sink, rows, 17)
    await store.holds(MUSIC, rows)


async def test_a_node_holds_key_properties_hash_and_version(sink: GraphSink, store: Store) -> None:
    written = record(NodeRow("master", "7", {"title": "Seven", "years": [1987, 1994], "notes": None}), version=5)
    await put(sink, written)
    [[properties]] = await store.ask("MATCH (n:Master) RETURN properties(n)")
    assert properties == {
        "id": "7",
        "title": "Seven",
        "years": [1987, 1994],
        "hash": written.content_hash,
        "version": 5,
    }


@ON_NEO4J
async def test_what_was_written_is_not_held_on_to(sink: GraphSink) -> None:
    title = Watched("Seven")
    title.gone = gone = []
    written = record(NodeRow("master", "7", {"title": title}))
    gc.disable()  # objects in cycles stay until it comes by, which may be many batches later
    try:
        assert await put(sink, written) == [WRITTEN]
        del written, title
        assert gone == ["Seven"]
    finally:
        gc.enable()


async def test_a_property_that_goes_away_is_removed(sink: GraphSink, store: Store) -> None:
    await put(sink, record(NodeRow("master", "7", {"title": "Seven", "year": "1987"})))
    await put(sink, record(NodeRow("master", "7", {"title": "Seven"})))
    assert await store.ask("MATCH (n:Master) RETURN n.title, n.year") == [["Seven", None]]


async def test_a_shared_edge_stays_until_both_sides_gave_it_up(sink: GraphSink, store: Store) -> None:
    group = NodeRow("artist", "1", {}, {"members": ["2"]})
    member = NodeRow("artist", "2", {}, {"groups": ["1"]})
    await put(sink, record(group), record(member))
    await store.holds(MUSIC, [group, member])

    group = NodeRow("artist", "1", {"note": "names nobody"})
    await put(sink, record(group))
    await store.holds(MUSIC, [group, member])
    assert list((await store.graph()).edges.values()) == [{"by_start"}]

    member = NodeRow("artist", "2", {"note": "names nobody"})
    await put(sink, record(member))
    await store.holds(MUSIC, [group, member])
    assert not (await store.graph()).edges


async def test_an_edge_of_one_record_goes_with_its_field_and_the_stub_stays(sink: GraphSink, store: Store) -> None:
    artist = NodeRow("artist", "1", {}, {"aliases": ["2", "3"]})
    other = NodeRow("artist", "9", {}, {"aliases": ["2"]})
    await put(sink, record(artist), record(other))
    artist = NodeRow("artist", "1", {}, {"aliases": ["3"]})
    before = sink.counters.copy()
    await put(sink, record(artist))
    assert (sink.counters - before)["relationships_deleted"] == 1
    await store.holds(MUSIC, [artist, other])


async def test_one_type_to_two_labels_is_pruned_field_by_field(sink: GraphSink, store: Store) -> None:
    """A genre and a style of one name are two nodes, and giving up one leaves the other."""
    await put(sink, record(NodeRow("master", "1", {}, {"genres": ["Dub"], "styles": ["Dub", "Ska"]})))
    row = NodeRow("master", "1", {}, {"styles": ["Dub"]})
    await put(sink, record(row))
    await store.holds(MUSIC, [row], stubs={("Genre", "Dub"), ("Style", "Ska")})


async def test_an_older_version_changes_nothing(sink: GraphSink, store: Store) -> None:
    newer = NodeRow("artist", "1", {"name": "new"}, {"aliases": ["2"]})
    await put(sink, record(newer, version=7))
    older = record(NodeRow("artist", "1", {"name": "old"}, {"aliases": ["3"]}), version=6)
    before = sink.counters.copy()
    assert await put(sink, older) == [DUPLICATE]
    assert sink.counters == before
    await store.holds(MUSIC, [newer])


async def test_an_equal_version_with_other_content_is_written(sink: GraphSink, store: Store) -> None:
    await put(sink, record(NodeRow("artist", "1", {"name": "first"}), version=7))
    assert await put(sink, record(NodeRow("artist", "1", {"name": "second"}), version=7)) == [WRITTEN]
    assert await store.ask("MATCH (n:Artist) RETURN n.name") == [["second"]]


async def test_equal_content_with_a_newer_version_moves_the_version_on(sink: GraphSink, store: Store) -> None:
    row = NodeRow("artist", "1", {"name": "same"})
    await put(sink, record(row, version=7))
    assert await put(sink, record(row, version=8)) == [WRITTEN]
    assert await store.ask("MATCH (n:Artist) RETURN n.version") == [[8]]


@pytest.mark.parametrize("forget", ["REMOVE n.hash", "SET n.hash = ''"])
async def test_a_missing_hash_equals_nothing(sink: GraphSink, store: Store, forget: str) -> None:
    """Whoever wants a record written again clears its hash; the edges it no longer has go then too."""
    row = NodeRow("artist", "1", {"name": "one"}, {"aliases": ["2"]})
    await put(sink, record(row))
    await store.ask(f"MATCH (n:Artist {{id: '1'}}) {forget}")
    row = NodeRow("artist", "1", {"name": "one"}, {"aliases": ["3"]})
    assert await put(sink, record(row)) == [WRITTEN]
    await store.holds(MUSIC, [row], stubs={("Artist", "2")})


async def test_an_empty_hash_is_written_each_time(sink: GraphSink, store: Store) -> None:
    for name in ("one", "two"):
        assert await put(sink, record(NodeRow("artist", "1", {"name": name}), content_hash="")) == [WRITTEN]
    assert await store.ask("MATCH (n:Artist) RETURN n.name") == [["two"]]


async def test_one_record_several_times_in_a_batch_is_as_if_written_one_by_one(sink: GraphSink, store: Store) -> None:
    rows = [NodeRow("artist", "1", {"name": name}, {"aliases": [name], "groups": [name]}) for name in "abc"]
    outcomes = await put(
        sink, record(rows[0], version=1), record(rows[1], version=3), record(rows[2], version=2), record(rows[0])
    )
    assert outcomes == [WRITTEN, WRITTEN, DUPLICATE, WRITTEN]
    await store.holds(MUSIC, [rows[0]], stubs={("Artist", "b"), ("Artist", "c")})


@pytest.mark.parametrize(
    ("row", "word"),
    [
        (NodeRow("album", "1"), "album"),
        (NodeRow("artist", ""), "key"),
        (NodeRow("artist", "1", {"hash": "mine"}), "hash"),
        (NodeRow("artist", "1", {}, {"friends": ["2"]}), "friends"),
        (NodeRow("artist", "1", {}, {"aliases": [""]}), "aliases"),
    ],
)
async def test_a_row_that_does_not_fit_is_named_and_nothing_is_written(
    sink: GraphSink, store: Store, row: NodeRow, word: str
) -> None:
    with pytest.raises(BatchError, match=word) as caught:
        await put(sink, record(NodeRow("artist", "5")), record(row))
    assert caught.value.positions == (1,)
    assert isinstance(caught.value.refusal, Poison)
    assert not (await store.graph()).nodes


@pytest.mark.parametrize("value", [{"nested": 1}, [{"nested": 1}], 2**63, "\ud800", object()])
async def test_a_value_no_property_can_hold_is_poison_and_the_sink_goes_on(
    sink: GraphSink, store: Store, value: Any
) -> None:
    with pytest.raises(BatchError) as caught:
        await put(sink, record(NodeRow("artist", "5")), record(NodeRow("artist", "6", {"value": value})))
    assert isinstance(caught.value.refusal, Poison)
    assert caught.value.refusal.reason == "bad_data"
    assert not (await store.graph()).nodes
    assert await put(sink, record(NodeRow("artist", "5"))) == [WRITTEN]


#: What Neo4j refuses and ArcadeDB takes, see decision 0013.
MIXED_LIST = NodeRow("artist", "6", {"value": [1, "mixed"]})
LONG_KEY = NodeRow("artist", "6", {}, {"aliases": ["x" * 9000]})


@ON_NEO4J
@pytest.mark.parametrize(("row", "reason"), [(MIXED_LIST, "bad_data"), (LONG_KEY, "too_large")])
async def test_what_neo4j_cannot_hold_is_poison(sink: GraphSink, store: Store, row: NodeRow, reason: str) -> None:
    with pytest.raises(BatchError) as caught:
        await put(sink, record(NodeRow("artist", "5")), record(row))
    assert isinstance(caught.value.refusal, Poison)
    assert caught.value.refusal.reason == reason
    assert not (await store.graph()).nodes


@ON_ARCADEDB
@pytest.mark.parametrize("row", [MIXED_LIST, LONG_KEY])
async def test_what_arcadedb_takes_beyond_neo4j_it_keeps(sink: GraphSink, store: Store, row: NodeRow) -> None:
    assert await put(sink, record(row)) == [WRITTEN]
    await store.holds(MUSIC, [row])
    [[value]] = await store.ask("MATCH (n:Artist {id: '6'}) RETURN n.value")
    assert value == row.properties.get("value")
    assert await put(sink, record(row)) == [DUPLICATE]


async def test_random_changes_leave_what_the_last_records_say(sink: GraphSink, store: Store) -> None:
    chance = dice(7)
    rows = collection(chance, 40)
    await put_all(sink, rows.values(), 60)
    left: set[NodeName] = set(expected(MUSIC, rows.values()).nodes)
    for _ in range(20):
        changed = [invented(chance, *name) for name in chance.sample(sorted(rows), 30)]
        left |= expected(MUSIC, changed).nodes
        assert await put_all(sink, changed, 30) == [WRITTEN] * 30
        rows |= {(row.kind, row.id): row for row in changed}
    await store.holds(MUSIC, rows.values(), stubs=left)


async def test_two_writers_of_the_same_records_make_one_graph(sink: GraphSink, store: Store, graph_url: str) -> None:
    chance = dice(8)
    rows = list(collection(chance, 60).values())

    async def write_all(writer: GraphSink, order: list[NodeRow]) -> int:
        written = 0
        for batch in batches([record(row) for row in order], 30):
            written += (await write_through(writer, batch)).count(WRITTEN)
        return written

    async with opened(graph_url) as rival:
        counts = await asyncio.gather(
            write_all(sink, chance.sample(rows, len(rows))), write_all(rival, chance.sample(rows, len(rows)))
        )
    assert sum(counts) == len(rows)
    await store.holds(MUSIC, rows)


async def test_two_writers_of_their_own_records_share_edges(sink: GraphSink, store: Store, graph_url: str) -> None:
    chance = dice(9)
    rows = collection(chance, 40)
    await put_all(sink, rows.values(), 60)
    left: set[NodeName] = set(expected(MUSIC, rows.values()).nodes)

    async def change(writer: GraphSink, own: list[tuple[str, str]]) -> None:
        for _ in range(10):
            changed = [invented(chance, *name) for name in chance.sample(own, 30)]
            left.update(expected(MUSIC, changed).nodes)
            rows.update({(row.kind, row.id): row for row in changed})
            await write_through(writer, Batch(tuple(map(record, changed))))

    names = sorted(rows)
    async with opened(graph_url) as rival:
        await asyncio.gather(change(sink, names[::2]), change(rival, names[1::2]))
    await store.holds(MUSIC, rows.values(), stubs=left)


async def write_through(writer: GraphSink, batch: Batch) -> list[Outcome]:
    """As the runtime does: what failed for a passing reason is tried again."""
    for _ in range(20):
        try:
            return list(await writer.write(batch))
        except BatchError as error:
            if not isinstance(error.refusal, Transient):
                raise
    pytest.fail("20 tries, and each one lost its race")


async def test_every_label_has_its_constraint_online_however_many_prepare_it(store: Store, graph_url: str) -> None:
    async with opened(graph_url) as first, opened(graph_url) as second, opened(graph_url) as third:
        await asyncio.gather(first.prepare(), second.prepare(), third.prepare())
        await first.prepare()
    found = await store.ask(
        "SHOW INDEXES YIELD labelsOrTypes, properties, state, owningConstraint WHERE owningConstraint IS NOT NULL "
        "RETURN labelsOrTypes[0], properties, state ORDER BY labelsOrTypes[0]"
    )
    labels = [("Artist", "id"), ("Genre", "name"), ("Master", "id"), ("Release", "id"), ("Style", "name")]
    assert found == [[label, [key], "ONLINE"] for label, key in labels]


async def test_data_that_allows_no_constraint_is_told(store: Store, graph_url: str) -> None:
    await store.ask("UNWIND [1, 2] AS i CREATE (:Master {id: 'twice'})")
    async with opened(graph_url) as sink:
        with pytest.raises(SinkUnavailable, match="Master"):
            await sink.prepare()


async def test_a_wrong_password_is_an_outage_that_names_the_settings(graph_url: str) -> None:
    sink = unopened_sink()
    with pytest.raises(SinkUnavailable, match="NEO4J_USERNAME and NEO4J_PASSWORD") as caught:
        await sink.open(Endpoint("graph", graph_url.replace(":penstock-test@", ":not-the-password@")))
    assert "not-the-password" not in f"{caught.value!r} {caught.value.__cause__!r}"


async def test_a_database_that_is_not_there_is_an_outage_that_names_the_setting(graph_url: str) -> None:
    with pytest.raises(SinkUnavailable, match="NEO4J_DATABASE"):
        await unopened_sink().open(Endpoint("graph", Address(graph_url).within("absent")))


async def test_a_sink_may_be_closed_twice_and_opened_again(graph_url: str) -> None:
    sink = unopened_sink()
    await sink.close()
    for _ in range(2):
        await sink.open(Endpoint("graph", graph_url))
        await sink.ping()
        await sink.close()
        await sink.close()
    with pytest.raises(SinkUnavailable, match="not open"):
        await sink.ping()
