"""Rows that do not fit their pattern are found before they are sent."""

from __future__ import annotations

from typing import Any

import pytest

from graphs import MUSIC
from penstock_workers.graph.check import fault
from penstock_workers.graph.row import NodeRow

NODES = {node.kind: node for node in MUSIC.nodes}


@pytest.mark.parametrize(
    "row",
    [
        NodeRow("artist", "1"),
        NodeRow("artist", "1", {"name": None, "anything": [1]}, {"aliases": ["2", "2"], "groups": ()}),
        NodeRow("release", " ", {}, {"genres": ["Rock & Roll"]}),
    ],
)
def test_a_row_that_fits(row: NodeRow) -> None:
    assert fault(row, NODES) is None


@pytest.mark.parametrize("key", ["", None, 5, b"5", 5.0])
def test_a_key_is_a_text_that_is_not_empty(key: Any) -> None:
    assert fault(NodeRow("artist", key), NODES) == f"artist: its id is {key!r}: a key is a text that is not empty"
    edges = {"aliases": ["2", key]}
    found = fault(NodeRow("artist", "1", {}, edges), NODES)
    assert found == f"artist '1': aliases holds {key!r}: a key is a text that is not empty"


@pytest.mark.parametrize("name", ["id", "hash", "version"])
def test_what_the_sink_writes_is_no_property_of_the_row(name: str) -> None:
    found = fault(NodeRow("artist", "1", {name: "x"}), NODES)
    assert found == f"artist '1': the sink itself writes the property {name!r}"


def test_a_kind_or_a_field_the_pattern_lacks() -> None:
    assert fault(NodeRow("album", "1"), NODES) == "the graph has no kind 'album'"
    found = fault(NodeRow("artist", "1", {}, {"genres": ["Rock"]}), NODES)
    assert found == "artist '1': the graph has no edge for the field 'genres'"
