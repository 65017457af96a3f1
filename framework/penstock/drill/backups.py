"""Backups of the drills' sinks in mode `independent`: databases of their own, and what they hold for the primaries."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.drill.accounting import query
from penstock.drill.looks import Neo4jLook, PostgresLook, cypher, sql
from penstock.drill.servers.wait import wait_until
from penstock.drill.watch import CLOSELY, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.scene import Scene
    from penstock.drill.watch import Look

GRAPH = "drill-graph"
#: How often the workers probe a primary that is away, in seconds.
PROBE_EVERY = "1"
#: How long a takeover, and bringing over what was taken, may take in seconds: also where all is slow.
PATIENCE = 300


@dataclass(frozen=True, slots=True)
class Backups:
    """A PostgreSQL and a Neo4j. `watch.samples[worker]` counts what they hold for the primary of that worker's sink."""

    names: tuple[str, ...]
    postgres: str = field(repr=False)
    neo4j: str = field(repr=False)
    watch: Watch = field(repr=False)

    def wait_taken(self, since: float, count: int = 1) -> None:
        """Wait until so much of each worker was held at one time, from a time of the monotonic clock on."""
        seen = lambda: all(self.watch.samples[name].reached(count, since) is not None for name in self.names)  # noqa: E731
        wait_until(seen, PATIENCE, f"{count} records of each worker are in its backup")

    def wait_brought(self) -> None:
        """Wait until nothing is held."""
        wait_until(lambda: not any(self.held().values()), PATIENCE, "the primaries have what the backups took")

    def held(self) -> dict[str, int]:
        """How much is held now, by worker."""
        return asyncio.run(self._held())

    def rows(self) -> dict[str, int]:
        """How many messages the backups were given themselves, as rows of the ledger and as nodes of the graph."""
        return asyncio.run(self._rows())

    async def _held(self) -> dict[str, int]:
        found = {name: await sql(self.postgres, query("count_taken.sql"), name) for name in self.names if name != GRAPH}
        found[GRAPH] = await cypher(self.neo4j, query("count_taken.cypher"), worker=GRAPH)
        return {name: int(rows[0][0]) for name, rows in found.items()}

    async def _rows(self) -> dict[str, int]:
        [[ledger]] = await sql(self.postgres, query("count_rows.sql"))
        [[graph]] = await cypher(self.neo4j, query("count_messages.cypher"))
        return {"ledger": ledger, "graph": graph}


@contextmanager
def independent(scene: Scene) -> Iterator[Backups]:
    """Tell the workers that start in the block of a backup for each sink, and watch these closely."""
    postgres, neo4j = scene.database("backup"), scene.grounds.graph("backup")
    scene.environment |= {
        "POSTGRES_BACKUP_URL": postgres,
        "NEO4J_BACKUP_URL": neo4j,
        "PENSTOCK_FAILOVER__MODE": "independent",
        "PENSTOCK_FAILOVER__PROBE_EVERY": PROBE_EVERY,
    }
    looks: dict[str, Look] = {
        name: PostgresLook(postgres, query("count_taken.sql"), name) for name in scene.names if name != GRAPH
    }
    looks[GRAPH] = Neo4jLook(neo4j, query("count_taken.cypher"), worker=GRAPH)
    with Watch(looks, calmly=CLOSELY) as watch:
        yield Backups(scene.names, postgres, neo4j, watch)
