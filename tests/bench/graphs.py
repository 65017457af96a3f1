"""Discogs records into Neo4j: our worker, one write a record, and Neo4j alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import filling, records
from bench.group import Group
from bench.measured import Ratio
from bench.processes import run_peer, run_worker
from bench.scale import slow
from bench.workers import GRAPH
from penstock.drill.installation import Installation

if TYPE_CHECKING:
    from bench.measured import Run
    from bench.scale import Scale
    from bench.servers import Servers

#: Records of a contender that writes one at a time: fewer say too little.
LEAST = 500
RATIOS = (
    Ratio("graph_vs_unwind", "graph", "graph_unwind"),
    Ratio("graph_vs_plain_unwind", "graph", "graph_plain_unwind"),
    Ratio("graph_vs_one_write", "graph", "graph_one_write"),
    Ratio("graph_duplicates_vs_first", "graph_duplicates", "graph"),
)


class Graphs:
    """The contenders."""

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._scale = scale
        self._fixed = environment
        self._bodies: list[bytes] = []

    def group(self) -> Group:
        """All contenders."""
        contenders = {
            "graph_unwind": self._unwind,
            "graph_plain_unwind": self._plain_unwind,
            "graph_one_write": self._one_write,
            "graph": self._graph,
            "graph_duplicates": self._written,
        }
        return Group("graph", contenders, self._scale.graph_rounds, RATIOS, self._prepare, warming=1)

    def _prepare(self) -> None:
        Installation(self._environment()).drain(GRAPH)
        self._bodies = list(records.bodies(self._scale.records))

    def _unwind(self) -> Run:
        self._servers.empty_graph()
        return run_peer("graph_unwind", GRAPH, self._scale.records, self._environment())

    def _plain_unwind(self) -> Run:
        self._servers.empty_graph()
        return run_peer("graph_unwind", GRAPH, self._scale.records, {**self._environment(), "BENCH_PLAIN": "1"})

    def _one_write(self) -> Run:
        count = slow(self._scale.records, LEAST)
        self._servers.empty_graph()
        filling.fill(self._broker_url, GRAPH, self._bodies[:count])
        return run_peer("graph_one_write", GRAPH, count, self._environment())

    def _graph(self) -> Run:
        self._servers.empty_graph()
        return self._written()

    def _written(self) -> Run:
        """Comes after `graph` once more, and then finds all of it there."""
        count = filling.fill(self._broker_url, GRAPH, self._bodies)
        run = run_worker(GRAPH, count, self._environment())
        if (nodes := self._servers.count_nodes()) != count:
            raise RuntimeError(f"{count} records came to {nodes} nodes")
        return run

    @property
    def _broker_url(self) -> str:
        return self._servers.virtual_host("quorum")

    def _environment(self) -> dict[str, str]:
        return {**self._fixed, "RABBITMQ_URL": self._broker_url, "NEO4J_URL": self._servers.neo4j_url}


def graph(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Group]:
    """Real records, repeated with new ids."""
    return [Graphs(servers, scale, environment).group()]
