"""What a worker's mapping makes of a record for the graph sink."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


@dataclass(frozen=True, slots=True)
class NodeRow:
    """One node with everything its record says of it.

    `kind` names a Node of the pattern and `id` is the value of its key property. `properties` are
    all other properties of the node (numbers, texts, booleans, lists of one of these; None means
    absent). `edges` gives, for each field of an Edge, the keys of the nodes at the other end; a
    field left out is an empty one.
    """

    kind: str
    id: str
    properties: Mapping[str, Any] = field(default_factory=dict)
    edges: Mapping[str, Sequence[str]] = field(default_factory=dict)
