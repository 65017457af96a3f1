"""What a graph should hold, told from the rows alone, and what it does hold."""

from __future__ import annotations

import random
from collections import defaultdict
from typing import TYPE_CHECKING

from neo4j import AsyncGraphDatabase

from penstock.drill.servers import Address
from penstock.record import Batch
from penstock.testing import make_record
from penstock_workers.graph.pattern import Edge, Node, Pattern
from penstock_workers.graph.row import NodeRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from neo4j import AsyncDriver

    from penstock.record import Record

#: The label and the key of a node.
NodeName = tuple[str, str]
#: The type of an edge, its start and its end.
EdgeName = tuple[str, NodeName, NodeName]

BY = Edge("artists", "BY", "out", "Artist")
IS = (
    Edge("genres", "IS", "out", "Genre", other_key="name"),
    Edge("styles", "IS", "out", "Style", other_key="name"),
)
#: All that a pattern can have: edges in and out, shared ones, one type to two labels, one type from two kinds.
MUSIC = Pattern(
    (
        Node(
            "artist",
            "Artist",
            (
                Edge("aliases", "ALIAS_OF", "in", "Artist"),
                Edge("members", "MEMBER_OF", "in", "Artist", shared=True),
                Edge("groups", "MEMBER_OF", "out", "Artist", shared=True),
            ),
        ),
        Node("master", "Master", (BY, *IS)),
        Node("release", "Release", (BY, Edge("master_id", "DERIVED_FROM", "out", "Master"), *IS)),
    )
)


class Graph:
    """Nodes, and edges with the claims on them."""

    def __init__(self) -> None:
        self.nodes: set[NodeName] = set()
        self.edges: defaultdict[EdgeName, set[str]] = defaultdict(set)

    def add(self, pattern: Pattern, row: NodeRow) -> None:
        """What one row says."""
        node = next(node for node in pattern.nodes if node.kind == row.kind)
        here = (node.label, row.id)
        self.nodes.add(here)
        for edge in node.edges:
            for key in row.edges.get(edge.field, ()):
                there = (edge.other, key)
                self.nodes.add(there)
                outward = edge.direction == "out"
                name = (edge.type, here, there) if outward else (edge.type, there, here)
                self.edges[name] |= {"by_start" if outward else "by_end"} if edge.shared else set()


def expected(pattern: Pattern, rows: Iterable[NodeRow]) -> Graph:
    """The graph the rows describe."""
    graph = Graph()
    for row in rows:
        graph.add(pattern, row)
    return graph


class Store:
    """A look at a real graph, past the sink."""

    def __init__(self, driver: AsyncDriver) -> None:
        self._driver = driver

    async def ask(self, statement: str, **parameters: object) -> list[list[object]]:
        """The rows of a statement."""
        answer = await self._driver.execute_query(statement, parameters)
        return [list(record.values()) for record in answer.records]

    async def graph(self) -> Graph:
        """All that is stored; fails where a node or an edge is there twice."""
        graph = Graph()
        # A Genre has a name and no id; a node of the others has an id, and perhaps a name too.
        key = "coalesce({0}.id, {0}.name)"
        for label, id_ in await self.ask(f"MATCH (n) RETURN labels(n)[0], {key.format('n')}"):
            assert (label, id_) not in graph.nodes
            graph.nodes.add((str(label), str(id_)))
        ends = ", ".join(f"labels({end})[0], {key.format(end)}" for end in "ab")
        for type_, *names, start, end in await self.ask(
            f"MATCH (a)-[k]->(b) RETURN type(k), {ends}, k.by_start, k.by_end"
        ):
            first, second = (str(names[0]), str(names[1])), (str(names[2]), str(names[3]))
            edge = (str(type_), first, second)
            assert edge not in graph.edges
            graph.edges[edge] = {claim for claim, made in (("by_start", start), ("by_end", end)) if made}
        return graph

    async def holds(self, pattern: Pattern, rows: Iterable[NodeRow], stubs: Iterable[NodeName] = ()) -> None:
        """Fail unless the whole graph is what the rows describe; `stubs` may be left from what rows said before."""
        stored, wanted = await self.graph(), expected(pattern, rows)
        assert wanted.nodes <= stored.nodes <= wanted.nodes | set(stubs)
        assert dict(stored.edges) == dict(wanted.edges)


def connect(url: str) -> AsyncDriver:
    """A driver of the test's own, for its database's default login."""
    address = Address(url)
    return AsyncGraphDatabase.driver(address.without_login, auth=(address.username, address.password))


def record(row: NodeRow, *, version: int | None = None, content_hash: str | None = None) -> Record:
    """The row as a sink gets it."""
    return make_record(row, (row.kind, row.id), version=version, content_hash=content_hash)


def batches(records: Sequence[Record], size: int) -> Iterator[Batch]:
    """The records in batches of `size`."""
    for start in range(0, len(records), size):
        yield Batch(tuple(records[start : start + size]))


def dice(seed: int) -> random.Random:
    """Chance that falls the same way each time."""
    return random.Random(seed)


def invented(chance: random.Random, kind: str, id_: str) -> NodeRow:
    """A row of MUSIC with edges into a space so small that records meet at many of them."""
    node = next(node for node in MUSIC.nodes if node.kind == kind)
    edges: Mapping[str, list[str]] = {
        edge.field: sorted({_key(chance, edge) for _ in range(chance.randrange(4))}) for edge in node.edges
    }
    return NodeRow(kind, id_, {"title": f"title {chance.randrange(10**9)}"}, edges)


def collection(chance: random.Random, each: int) -> dict[tuple[str, str], NodeRow]:
    """`each` rows of every kind of MUSIC, by kind and id."""
    return {
        (node.kind, str(number)): invented(chance, node.kind, str(number))
        for node in MUSIC.nodes
        for number in range(1, each + 1)
    }


def _key(chance: random.Random, edge: Edge) -> str:
    return chance.choice(("Dub", "Rock", "Ska")) if edge.other_key == "name" else str(chance.randrange(1, 60))
