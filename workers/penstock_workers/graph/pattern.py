"""The shape of a graph: which nodes a worker writes, and which edges a record claims."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Properties of a node that the sink itself writes.
HASH = "hash"
VERSION = "version"

_OPPOSITE = {"in": "out", "out": "in"}
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Edge:
    """Edges that a record claims by one of its fields.

    `field` names the list of keys in the row, `type` the relationship type. `direction` is seen
    from the record: "out" goes from the record's node to the other, "in" comes from there. `other`
    is the label at the other end and `other_key` its key property. `shared` says that the record
    at the other end can claim the same edge by a field of its own: such an edge goes when neither
    claims it any more.
    """

    field: str
    type: str
    direction: Literal["out", "in"]
    other: str
    other_key: str = "id"
    shared: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A kind of record, the label of its node, its key property and the edges it claims."""

    kind: str
    label: str
    edges: tuple[Edge, ...] = ()
    key: str = "id"


@dataclass(frozen=True, slots=True)
class Pattern:
    """All nodes of a graph, in the order in which a batch writes and locks them.

    Raises UsageError where two records could take edges from each other, or a name cannot stand in
    a Cypher statement.
    """

    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        _check_names(self)
        _check_keys(self)
        _check_claims(self)

    @property
    def labels(self) -> dict[str, str]:
        """The key property of every label, stubs included."""
        keys = {node.label: node.key for node in self.nodes}
        for _, edge in self.claims():
            keys.setdefault(edge.other, edge.other_key)
        return keys

    def claims(self) -> Iterator[tuple[Node, Edge]]:
        """Every edge with the node that claims it."""
        for node in self.nodes:
            for edge in node.edges:
                yield node, edge

    def far_labels(self, node: Node, edge: Edge) -> set[str]:
        """The labels met at the other end of edges of this type and direction at this node, whoever claims them."""
        near = 0 if edge.direction == "out" else 1
        return {
            ends[1 - near]
            for ends in (_ends(*claim) for claim in self.claims() if claim[1].type == edge.type)
            if ends[near] == node.label
        }


def _ends(node: Node, edge: Edge) -> tuple[str, str]:
    """The labels at the start and at the end of an edge."""
    return (node.label, edge.other) if edge.direction == "out" else (edge.other, node.label)


def _check_names(pattern: Pattern) -> None:
    if not pattern.nodes:
        raise UsageError("graph pattern: it needs at least one node")
    names = {name for node in pattern.nodes for name in (node.label, node.key)}
    for _, edge in pattern.claims():
        names |= {edge.field, edge.type, edge.other, edge.other_key}
    for name in sorted(names):
        if not _IDENTIFIER.fullmatch(name):
            raise UsageError(
                f"graph pattern: {name!r} is no name: take letters, digits and _, a letter first, 100 at most"
            )
    for what, values in (("kind", [n.kind for n in pattern.nodes]), ("label", [n.label for n in pattern.nodes])):
        for value in values:
            if values.count(value) > 1:
                raise UsageError(f"graph pattern: two nodes have the {what} {value!r}: give each its own")


def _check_keys(pattern: Pattern) -> None:
    keys: defaultdict[str, set[str]] = defaultdict(set)
    for node in pattern.nodes:
        keys[node.label].add(node.key)
    for _, edge in pattern.claims():
        keys[edge.other].add(edge.other_key)
    for label, found in keys.items():
        if len(found) > 1:
            raise UsageError(f"graph pattern: label {label!r} has several keys ({', '.join(sorted(found))}): take one")
        if found & {HASH, VERSION}:
            raise UsageError(f"graph pattern: the key of label {label!r} is {HASH} or {VERSION}, which the sink writes")


def _check_claims(pattern: Pattern) -> None:
    """Whoever claims an edge must be told by the edge itself, or records would take each other's."""
    by_type: defaultdict[str, list[tuple[Node, Edge]]] = defaultdict(list)
    for node, edge in pattern.claims():
        if [other.field for other in node.edges].count(edge.field) > 1:
            raise UsageError(f"graph pattern: {node.kind} has two edges of field {edge.field!r}: give each its own")
        by_type[edge.type].append((node, edge))
    for type_, claims in by_type.items():
        if len({edge.shared for _, edge in claims}) > 1:
            raise UsageError(f"graph pattern: some edges of type {type_!r} are shared and some are not: choose one")
        seen: dict[tuple[str, str, str], str] = {}
        for node, edge in claims:
            name = f"{node.kind}.{edge.field}"
            ends = _ends(node, edge)
            if (twin := seen.get((*ends, edge.direction))) is not None:
                raise UsageError(
                    f"graph pattern: {twin} and {name} claim the same {type_!r} edges: make them one field"
                )
            if not edge.shared and (twin := seen.get((*ends, _OPPOSITE[edge.direction]))) is not None:
                raise UsageError(f"graph pattern: {twin} and {name} claim the same {type_!r} edges: make both shared")
            seen[*ends, edge.direction] = name
