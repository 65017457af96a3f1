"""The independent count of the sample records, and the workers' mapping held against it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import orjson
import pytest
from pydantic import TypeAdapter

from integration.discogs_counts import EdgeKey, Graph, NodeKey, graph_of
from penstock.source import open_source
from penstock_workers.discogs import graph as discogs_graph
from penstock_workers.discogs import table as discogs_table
from penstock_workers.discogs.reader import reader
from penstock_workers.discogs.records import AnyRecord, DiscogsRecord

if TYPE_CHECKING:
    from pathlib import Path

    from penstock_workers.graph.row import NodeRow


@pytest.fixture(scope="module")
def counted(sample_data: Path) -> Graph:
    return graph_of(sample_data / "discogs")


@pytest.fixture(scope="module")
def bodies(sample_data: Path) -> list[bytes]:
    found = []
    for path in reader.files(sample_data / "discogs"):
        with open_source(path) as source:
            found += [message.body for message in reader.read(source.stream, source.name)]
    return found


@pytest.fixture(scope="module")
def records(bodies: list[bytes]) -> list[AnyRecord]:
    adapter: TypeAdapter[AnyRecord] = TypeAdapter(DiscogsRecord)
    return [adapter.validate_json(body) for body in bodies]


def test_the_sample_holds_the_graph_its_readme_states(counted: Graph) -> None:
    assert counted.node_counts() == {
        "Artist": 1885,
        "Label": 705,
        "Master": 657,
        "Release": 400,
        "Genre": 15,
        "Style": 194,
    }
    assert len(counted.nodes) == 3856
    assert counted.edge_counts() == {
        "ALIAS_OF": 523,
        "MEMBER_OF": 411,
        "SUBLABEL_OF": 58,
        "BY": 942,
        "IS": 2423,
        "ON": 431,
        "DERIVED_FROM": 262,
    }
    assert len(counted.edges) == 5050
    assert len(counted.records) == 1600


def test_the_graph_mapping_describes_the_same_graph(counted: Graph, records: list[AnyRecord]) -> None:
    nodes: set[NodeKey] = set()
    edges: set[EdgeKey] = set()
    for record in records:
        row_nodes, row_edges = described(discogs_graph.mapping(record))
        nodes |= row_nodes
        edges |= row_edges
    assert nodes == counted.nodes
    assert edges == counted.edges


def described(row: NodeRow) -> tuple[set[NodeKey], set[EdgeKey]]:
    """The nodes and edges of one row, as the pattern tells the graph sink to write them."""
    kind = next(node for node in discogs_graph.PATTERN.nodes if node.kind == row.kind)
    declared = {edge.field: edge for edge in kind.edges}
    node = (kind.label, row.id)
    nodes, edges = {node}, set()
    for field, keys in row.edges.items():
        edge = declared[field]
        for key in keys:
            other = (edge.other, key)
            nodes.add(other)
            edges.add((edge.type, node, other) if edge.direction == "out" else (edge.type, other, node))
    return nodes, edges


def test_the_properties_of_a_node_are_never_nested(records: list[AnyRecord]) -> None:
    rows = [discogs_graph.mapping(record) for record in records]
    for row in rows:
        for value in row.properties.values():
            items = value if isinstance(value, list) else [value]
            assert items
            assert all(isinstance(item, (str, bool)) for item in items)
    named = [row for row in rows if row.properties.get("name") or row.properties.get("title")]
    assert len(named) == 1600


def test_the_table_mapping_keeps_every_field_of_every_record(counted: Graph, bodies: list[bytes]) -> None:
    adapter: TypeAdapter[AnyRecord] = TypeAdapter(DiscogsRecord)
    keys = set()
    for body in bodies:
        row = discogs_table.mapping(adapter.validate_json(body))
        original = orjson.loads(body)
        kind = original.pop("type")
        assert orjson.loads(row.values["data"]) == original
        assert row.table == f"{kind}s"
        keys.add((kind.capitalize(), row.values["data_id"]))
    assert keys == counted.records
