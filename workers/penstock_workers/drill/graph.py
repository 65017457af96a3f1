"""The worker `drill-graph`: each key as a node tied to its newest message; every message leaves a node."""

from __future__ import annotations

from penstock.stores.neo4j import endpoints
from penstock.worker import Worker
from penstock_workers.drill.declaration import BINDINGS, Change
from penstock_workers.graph.pattern import Edge, Node, Pattern
from penstock_workers.graph.row import NodeRow
from penstock_workers.graph.sink import graph_sink

PATTERN = Pattern((Node("key", "DrillKey", (Edge("newest", "NEWEST", "out", "DrillMessage"),)),))


def mapping(change: Change) -> NodeRow:
    """The key's node and the one edge it has: to the message that brought its version."""
    return NodeRow("key", str(change.key), edges={"newest": [change.id]})


worker = Worker(
    name="drill-graph",
    description="Drill messages as nodes in Neo4j, each key tied to its newest",
    model=Change,
    natural_key=lambda change: change.key,
    mapping=mapping,
    sink=graph_sink(PATTERN),
    endpoints=endpoints,
    bindings=BINDINGS,
    # No version is collapsed away: a key that moves on drops its edge, and the message's node stays to be counted.
    mode="update",
)
