"""What each Discogs record becomes in a table and in a graph."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from pydantic import TypeAdapter

from penstock_workers.discogs import graph, table
from penstock_workers.discogs.records import AnyRecord, DiscogsRecord

ADAPTER: TypeAdapter[AnyRecord] = TypeAdapter(DiscogsRecord)

ARTIST = {
    "type": "artist",
    "id": "2",
    "version": 7,
    "name": "Barth",
    "profile": None,
    "urls": ["http://a.example"],
    "namevariations": [],
    "aliases": [{"id": "3", "name": "A"}, {"id": None, "name": "B"}, {"id": "3", "name": "again"}],
    "groups": [{"id": "0", "name": "nothing"}],
    "members": [{"id": 26}, {"id": 27}],
    "images": [{"type": "primary"}],
}
LABEL = {
    "type": "label",
    "id": "5",
    "name": "Svek",
    "contactinfo": "Box 1",
    "sublabels": [{"id": "8"}, {"id": None, "name": "x"}],
    "parentLabel": {"id": "4711", "name": "Gold"},
}
MASTER = {
    "type": "master",
    "id": "113",
    "title": "Moments",
    "year": "1999-03-00",
    "main_release": "9",
    "artists": [{"id": "1"}],
    "genres": ["Electronic", " Electronic ", ""],
    "styles": ["Techno"],
}
RELEASE = {
    "type": "release",
    "id": "1",
    "title": "Stockholm",
    "released": "1999-03-00",
    "is_main_release": False,
    "artists": [{"id": "1"}, {"id": ""}, {"id": "1"}, {"id": "4"}],
    "extraartists": [{"id": "99", "role": "Design"}],
    "labels": [{"id": "5", "catno": "SK 026"}, {"id": "5", "catno": "SK026"}],
    "genres": ["Electronic"],
    "master_id": "1660109",
    "tracklist": [{"title": "Song", "artists": [{"id": "77"}], "sub_tracks": []}],
}


def record(values: dict[str, Any]) -> AnyRecord:
    return ADAPTER.validate_python(values)


# ---------------------------------------------------------------- graph

GRAPH = [
    (
        ARTIST,
        {"name": "Barth", "urls": ["http://a.example"]},
        {"aliases": ["3"], "groups": [], "members": ["26", "27"]},
    ),
    (
        LABEL,
        {"name": "Svek", "contactinfo": "Box 1"},
        {"sublabels": ["8"], "parentLabel": ["4711"]},
    ),
    (
        MASTER,
        {"title": "Moments", "year": "1999-03-00", "main_release": "9"},
        {"artists": ["1"], "genres": ["Electronic"], "styles": ["Techno"]},
    ),
    (
        RELEASE,
        {"title": "Stockholm", "released": "1999-03-00", "is_main_release": False},
        {"artists": ["1", "4"], "labels": ["5"], "master_id": ["1660109"], "genres": ["Electronic"], "styles": []},
    ),
]


@pytest.mark.parametrize(("values", "properties", "edges"), GRAPH, ids=lambda value: value.get("type"))
def test_a_record_becomes_a_node(
    values: dict[str, Any], properties: dict[str, Any], edges: dict[str, list[str]]
) -> None:
    row = graph.mapping(record(values))
    assert (row.kind, row.id) == (values["type"], values["id"])
    assert row.properties == properties
    assert row.edges == edges


@pytest.mark.parametrize("kind", ["artist", "label", "master", "release"])
def test_a_record_gives_exactly_the_edge_fields_the_pattern_declares(kind: str) -> None:
    [node] = [node for node in graph.PATTERN.nodes if node.kind == kind]
    row = graph.mapping(record({"type": kind, "id": "1"}))
    assert dict(row.edges) == {edge.field: [] for edge in node.edges}
    assert row.properties == {}


def test_only_edges_with_two_tellers_are_shared() -> None:
    shared = {edge.type for _, edge in graph.PATTERN.claims() if edge.shared}
    assert shared == {"MEMBER_OF", "SUBLABEL_OF"}


def test_every_label_has_its_key() -> None:
    ids = dict.fromkeys(("Artist", "Label", "Master", "Release"), "id")
    assert graph.PATTERN.labels == {**ids, "Genre": "name", "Style": "name"}


# ---------------------------------------------------------------- table


@pytest.mark.parametrize("values", [LABEL, MASTER, RELEASE], ids=lambda value: value["type"])
def test_a_record_becomes_a_row_with_everything_but_its_type(values: dict[str, Any]) -> None:
    row = table.mapping(record(values))
    assert row.table == f"{values['type']}s"
    assert row.values["data_id"] == values["id"]
    expected = {key: value for key, value in values.items() if key != "type"}
    if values is RELEASE:
        expected["artists"] = [{"id": "1"}, {"id": None}, {"id": "1"}, {"id": "4"}]
    assert orjson.loads(row.values["data"]) == expected


def test_the_version_has_its_own_column() -> None:
    data = orjson.loads(table.mapping(record(ARTIST)).values["data"])
    assert "version" not in data
    assert data["images"] == [{"type": "primary"}]
    assert data["members"] == [{"id": "26"}, {"id": "27"}]


def test_the_order_of_names_in_the_message_does_not_matter() -> None:
    turned = dict(reversed(RELEASE.items()))
    assert list(turned) != list(RELEASE)
    assert table.mapping(record(turned)) == table.mapping(record(RELEASE))


def test_a_nul_is_left_for_the_database_to_refuse() -> None:
    row = table.mapping(record({"type": "artist", "id": "1", "name": "a\0b"}))
    assert row.values["data"] == '{"id":"1","name":"a\\u0000b"}'


# ---------------------------------------------------------------- workers


def test_the_two_workers_differ_in_name_port_mapping_and_sink_alone() -> None:
    differing = {"name", "port", "description", "mapping", "sink", "endpoints"}
    for field in type(graph.worker).__dataclass_fields__:
        same = getattr(graph.worker, field) == getattr(table.worker, field)
        assert same == (field not in differing), field


def test_the_workers_take_every_type_from_the_exchange() -> None:
    assert (graph.worker.name, graph.worker.port) == ("discogs-graph", 8001)
    assert (table.worker.name, table.worker.port) == ("discogs-table", 8002)
    assert {(binding.exchange, binding.exchange_type) for binding in table.worker.bindings} == {("discogs", "topic")}
    assert [binding.routing_key for binding in table.worker.bindings] == ["artist", "label", "master", "release"]
