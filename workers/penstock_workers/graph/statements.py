"""The Cypher of a pattern, put together from the .cypher files beside this module."""

from __future__ import annotations

import string
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock_workers.graph.pattern import Edge, Node, Pattern


@dataclass(frozen=True, slots=True)
class Statements:
    """Everything the sink sends. The mappings are by the kind of the node.

    `gate` takes $rows of {id, hash}. `write` and `rewrite` take $rows of {id, properties, edges:
    {field: keys}}; `rewrite` also lets go of the edges that the record no longer claims. `online`
    takes $seconds.
    """

    constraints: tuple[str, ...]
    online: str
    gate: Mapping[str, str]
    write: Mapping[str, str]
    rewrite: Mapping[str, str]


def compose(pattern: Pattern) -> Statements:
    """The statements for a pattern."""
    return Statements(
        constraints=tuple(
            fill("constraint", name=f"penstock_{label}_{key}", label=label, key=key)
            for label, key in pattern.labels.items()
        ),
        online=fill("online"),
        gate={node.kind: fill("gate", label=node.label, key=node.key) for node in pattern.nodes},
        write={node.kind: "\n".join([_head(node), *_gain(node)]) for node in pattern.nodes},
        rewrite={node.kind: "\n".join([_head(node), *_lose(pattern, node), *_gain(node)]) for node in pattern.nodes},
    )


class _Fragment(string.Template):
    """Cypher takes $ for itself."""

    delimiter = "@"


class _Ends(NamedTuple):
    """How an edge of a direction is drawn, where its other end is, and which claim is the record's own."""

    left: str
    right: str
    far: str
    claim: str


# The claims stay bare: ArcadeDB overlooks REMOVE k.`by_end`.
_NO_ENDS = _Ends("", "", "", "")
_ENDS = {"out": _Ends("-", "->", "endNode", "by_start"), "in": _Ends("<-", "-", "startNode", "by_end")}


@cache
def fill(fragment: str, ends: _Ends = _NO_ENDS, *, among: str = "", **names: str) -> str:
    """FRAGMENT.cypher; every one of `names` is an identifier the pattern has checked, and is quoted."""
    text = resources.files(__package__).joinpath(f"{fragment}.cypher").read_text(encoding="utf-8")
    code = "\n".join(line for line in text.splitlines() if not line.startswith("//"))
    quoted = {placeholder: f"`{identifier}`" for placeholder, identifier in names.items()}
    return _Fragment(code).substitute(quoted, among=among, **ends._asdict())


def _head(node: Node) -> str:
    return fill("write", label=node.label, key=node.key)


def _gain(node: Node) -> Iterator[str]:
    """Every edge the record has now."""
    for edge in node.edges:
        yield _fill_edge("claim" if edge.shared else "connect", edge)


def _lose(pattern: Pattern, node: Node) -> Iterator[str]:
    """Every edge that is the record's own and that it has no more."""
    for edge in node.edges:
        # No label in the pattern of the match: Neo4j would plan, and keep, a scan of its index.
        several = len(pattern.far_labels(node, edge)) > 1
        among = f"'{edge.other}' IN labels({_ENDS[edge.direction].far}(k)) AND " if several else ""
        yield _fill_edge("give_up" if edge.shared else "drop", edge, among)
    for type_ in sorted({edge.type for edge in node.edges if edge.shared}):
        yield fill("drop_unclaimed", type=type_)


def _fill_edge(fragment: str, edge: Edge, among: str = "") -> str:
    return fill(
        fragment,
        _ENDS[edge.direction],
        among=among,
        type=edge.type,
        field=edge.field,
        other=edge.other,
        key=edge.other_key,
    )
