"""Whether a row fits the pattern, before anything of its batch is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock_workers.graph.pattern import HASH, VERSION

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock_workers.graph.pattern import Node
    from penstock_workers.graph.row import NodeRow


def fault(row: NodeRow, nodes: Mapping[str, Node]) -> str | None:
    """What is wrong with a row, in one line, or None. `nodes` are the pattern's, by kind.

    The server would take most of this, and make of it another node, no edge, or none it can find again.
    """
    node = nodes.get(row.kind)
    if node is None:
        return f"the graph has no kind {row.kind!r}"
    if not _is_key(row.id):
        return f"{row.kind}: its {node.key} is {row.id!r}: a key is a text that is not empty"
    if taken := {node.key, HASH, VERSION} & row.properties.keys():
        return f"{row.kind} {row.id!r}: the sink itself writes the property {min(taken)!r}"
    if unknown := row.edges.keys() - {edge.field for edge in node.edges}:
        return f"{row.kind} {row.id!r}: the graph has no edge for the field {min(unknown)!r}"
    for field, keys in row.edges.items():
        for key in keys:
            if not _is_key(key):
                return f"{row.kind} {row.id!r}: {field} holds {key!r}: a key is a text that is not empty"
    return None


def _is_key(value: object) -> bool:
    return isinstance(value, str) and value != ""
