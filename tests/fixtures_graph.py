"""The graph server of the embedded stack, and the tests that run on both kinds of graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.drill.servers import running
from penstock.drill.servers.embedded import embedded_graph
from penstock.drill.servers.graph import wipe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers import Server


@pytest.fixture(scope="session")
def arcadedb() -> Iterator[Server]:
    """ArcadeDB for all tests: not to be stopped."""
    yield from _running()


@pytest.fixture(scope="module")
def own_arcadedb() -> Iterator[Server]:
    """ArcadeDB for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    yield from _running()


@pytest.fixture
def arcadedb_url(arcadedb: Server) -> str:
    """The URL of a graph that is empty: no nodes, no constraints, no indexes."""
    wipe(arcadedb.address)
    return arcadedb.url


@pytest.fixture(params=[pytest.param("neo4j", marks=pytest.mark.neo4j), "arcadedb"])
def graph_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty graph, on Neo4j itself and then on ArcadeDB."""
    server: Server = request.getfixturevalue(request.param)
    wipe(server.address)
    return server.url


def _running() -> Iterator[Server]:
    with running(embedded_graph()) as server:
        yield server
