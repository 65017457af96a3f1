"""A pattern refuses what would let records take each other's edges."""

from __future__ import annotations

from typing import Literal

import pytest

from graphs import MUSIC
from penstock.errors import UsageError
from penstock_workers.graph.pattern import Edge, Node, Pattern


def test_every_label_has_its_key_stubs_included() -> None:
    assert MUSIC.labels == {"Artist": "id", "Master": "id", "Release": "id", "Genre": "name", "Style": "name"}


@pytest.mark.parametrize("name", ["", "a b", "a`b", "a.b", "1a", "a-b", "é", "a\n", "x" * 101])
def test_a_name_that_is_no_identifier_is_refused(name: str) -> None:
    for node in (
        Node("kind", name),
        Node("kind", "Label", key=name),
        Node("kind", "Label", (Edge(name, "TYPE", "out", "Other"),)),
        Node("kind", "Label", (Edge("field", name, "out", "Other"),)),
        Node("kind", "Label", (Edge("field", "TYPE", "out", name),)),
        Node("kind", "Label", (Edge("field", "TYPE", "out", "Other", other_key=name),)),
    ):
        with pytest.raises(UsageError, match="is no name"):
            Pattern((node,))


@pytest.mark.parametrize(
    ("nodes", "text"),
    [
        ((), "at least one node"),
        ((Node("a", "A"), Node("a", "B")), "two nodes have the kind 'a'"),
        ((Node("a", "A"), Node("b", "A")), "two nodes have the label 'A'"),
        ((Node("a", "A", key="hash"),), "is hash or version"),
        ((Node("a", "A", (Edge("f", "T", "out", "B", other_key="version"),)),), "is hash or version"),
        ((Node("a", "A", (Edge("f", "T", "out", "A", other_key="name"),)),), r"'A' has several keys \(id, name\)"),
        (
            (Node("a", "A", (Edge("f", "T", "out", "B"), Edge("f", "U", "out", "C"))),),
            "a has two edges of field 'f'",
        ),
        (
            (Node("a", "A", (Edge("f", "T", "out", "B"), Edge("g", "T", "out", "B"))),),
            "a.f and a.g claim the same 'T' edges: make them one field",
        ),
        (
            (Node("a", "A", (Edge("f", "T", "in", "A"), Edge("g", "T", "out", "A"))),),
            "a.f and a.g claim the same 'T' edges: make both shared",
        ),
        (
            (Node("a", "A", (Edge("f", "T", "out", "B"),)), Node("b", "B", (Edge("g", "T", "in", "A"),))),
            "a.f and b.g claim the same 'T' edges: make both shared",
        ),
        (
            (Node("a", "A", (Edge("f", "T", "out", "B", shared=True), Edge("g", "T", "out", "C"))),),
            "some edges of type 'T' are shared",
        ),
    ],
)
def test_a_pattern_that_cannot_work_is_refused(nodes: tuple[Node, ...], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Pattern(nodes)


@pytest.mark.parametrize(
    ("direction", "labels"),
    [("out", {"B", "C"}), ("in", {"C"})],
)
def test_far_labels_are_those_any_record_may_put_there(direction: Literal["out", "in"], labels: set[str]) -> None:
    edge = Edge("f", "T", "out", "B")
    node = Node("a", "A", (edge,))
    pattern = Pattern((node, Node("c", "C", (Edge("g", "T", "in", "A"), Edge("h", "T", "out", "A")))))
    assert pattern.far_labels(node, Edge("any", "T", direction, "B")) == labels
