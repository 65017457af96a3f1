"""The graph that a Discogs dump describes, counted by the standard library alone.

It shares no code with Penstock, so that a fault cannot be on both sides of a comparison.
As a program, it compares what `penstock demo` printed with the records of a folder: .ci/release does.
"""

from __future__ import annotations

import gzip
import json
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree as ET

if TYPE_CHECKING:
    from collections.abc import Iterable
    from xml.etree.ElementTree import Element

#: Label and key.
NodeKey = tuple[str, str]
#: Type, start and end.
EdgeKey = tuple[str, NodeKey, NodeKey]

#: The table of each record's label.
TABLES = {"Artist": "artists", "Label": "labels", "Master": "masters", "Release": "releases"}


@dataclass
class Graph:
    """Distinct nodes and edges; `records` are the nodes that have a record of their own, the others are stubs."""

    records: set[NodeKey] = field(default_factory=set)
    nodes: set[NodeKey] = field(default_factory=set)
    edges: set[EdgeKey] = field(default_factory=set)

    def connect(self, kind: str, start: NodeKey, end: NodeKey) -> None:
        """An edge whose ends both name something."""
        if all(key not in {"", "0"} for _, key in (start, end)):
            self.nodes |= {start, end}
            self.edges.add((kind, start, end))

    def node_counts(self) -> dict[str, int]:
        """How many nodes have each label."""
        return dict(Counter(label for label, _ in self.nodes))

    def edge_counts(self) -> dict[str, int]:
        """How many edges have each type."""
        return dict(Counter(kind for kind, _, _ in self.edges))


def graph_of(folder: Path) -> Graph:
    """The graph of all dump files of a folder."""
    graph = Graph()
    for kind, add in (("artist", _artist), ("label", _label), ("master", _master), ("release", _release)):
        for path in sorted(folder.glob(f"*_{kind}s.xml*")):
            opener = gzip.open if path.suffix == ".gz" else open
            with opener(path, "rb") as file:
                root = ET.parse(file).getroot()  # noqa: S314 - the dump is ours, and expat expands no bombs
            for element in root:
                add(graph, element)
    return graph


def demo_result(folder: Path) -> dict[str, Any]:
    """What `penstock demo` has to tell of the records of a folder, but for its seconds."""
    wanted = graph_of(folder)
    records = Counter(label for label, _ in wanted.records)
    return {
        "published": {label.lower(): count for label, count in records.items()},
        "rows": {TABLES[label]: count for label, count in records.items()},
        "nodes": wanted.node_counts(),
        "edges": wanted.edge_counts(),
        "dead_letters": 0,
    }


def _record(graph: Graph, label: str, key: str | None) -> NodeKey:
    node = (label, (key or "").strip())
    graph.records.add(node)
    graph.nodes.add(node)
    return node


def _texts(elements: Iterable[Element]) -> list[str]:
    return [(element.text or "").strip() for element in elements]


def _ids(elements: Iterable[Element]) -> list[str]:
    return [element.get("id", "").strip() for element in elements]


def _artist(graph: Graph, element: Element) -> None:
    node = _record(graph, "Artist", element.findtext("id"))
    for alias in _ids(element.iterfind("aliases/name")):
        graph.connect("ALIAS_OF", ("Artist", alias), node)
    for group in _ids(element.iterfind("groups/name")):
        graph.connect("MEMBER_OF", node, ("Artist", group))
    for member in _ids(element.iterfind("members/name")) + _texts(element.iterfind("members/id")):
        graph.connect("MEMBER_OF", ("Artist", member), node)


def _label(graph: Graph, element: Element) -> None:
    node = _record(graph, "Label", element.findtext("id"))
    for parent in _ids(element.iterfind("parentLabel")):
        graph.connect("SUBLABEL_OF", node, ("Label", parent))
    for sublabel in _ids(element.iterfind("sublabels/label")):
        graph.connect("SUBLABEL_OF", ("Label", sublabel), node)


def _music(graph: Graph, label: str, element: Element) -> NodeKey:
    node = _record(graph, label, element.get("id"))
    for artist in _texts(element.iterfind("artists/artist/id")):
        graph.connect("BY", node, ("Artist", artist))
    for genre in _texts(element.iterfind("genres/genre")):
        graph.connect("IS", node, ("Genre", genre))
    for style in _texts(element.iterfind("styles/style")):
        graph.connect("IS", node, ("Style", style))
    return node


def _master(graph: Graph, element: Element) -> None:
    _music(graph, "Master", element)


def _release(graph: Graph, element: Element) -> None:
    node = _music(graph, "Release", element)
    for label in _ids(element.iterfind("labels/label")):
        graph.connect("ON", node, ("Label", label))
    for master in _texts(element.iterfind("master_id")):
        graph.connect("DERIVED_FROM", node, ("Master", master))


def main() -> None:
    """Read what the demo printed from standard input; its folder is the argument. Exits with 1 at a difference."""
    told: dict[str, Any] = json.loads(sys.stdin.read().splitlines()[-1])
    told.pop("seconds")
    wanted = demo_result(Path(sys.argv[1]))
    if told != wanted:
        sys.exit(f"the demo tells {json.dumps(told)}, and the records are {json.dumps(wanted)}")
    sys.stdout.write(f"exact: {json.dumps(told)}\n")


if __name__ == "__main__":
    main()
