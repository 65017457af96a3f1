"""The demo of the Discogs workers: true records, and what to ask of them."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.demo.declaration import Demo, Graph, Query
from penstock.stores import neo4j, postgres

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.settings import Settings

#: Seconds for a statement: on a large dump, counting takes its time.
TIME_LIMIT = 300.0
#: What the servers see as the client's name.
APPLICATION = "penstock-demo"


async def rows(settings: Settings) -> dict[str, int]:
    """The rows of each table. Raises SinkError while PostgreSQL is away."""
    return _counts(await _ask_tables(settings, _text("demo_rows.sql")))


async def graph(settings: Settings) -> Graph:
    """The nodes by label and the edges by type. Raises SinkError while the graph is away."""
    nodes = await _ask_graph(settings, _text("demo_nodes.cypher"))
    edges = await _ask_graph(settings, _text("demo_edges.cypher"))
    return Graph(_counts(nodes), _counts(edges))


async def _ask_tables(settings: Settings, statement: str) -> Sequence[Sequence[Any]]:
    # One connection, and no longer than for one statement.
    [endpoint] = postgres.endpoints(settings)
    pool = postgres.Pool(endpoint, settings.postgres.model_copy(update={"pool_min": 1}), APPLICATION)
    try:
        await pool.open()
        async with pool.transaction() as connection:
            return [tuple(row) for row in await connection.fetch(statement, timeout=TIME_LIMIT)]
    finally:
        await pool.close()


async def _ask_graph(settings: Settings, statement: str) -> Sequence[Sequence[Any]]:
    [endpoint] = neo4j.endpoints(settings)
    pool = neo4j.Pool(endpoint, settings.neo4j, APPLICATION, time_limit=TIME_LIMIT)
    try:
        async with pool.transaction() as transaction:
            return await transaction.run(statement)
    finally:
        await pool.close()


def _counts(answer: Sequence[Sequence[Any]]) -> dict[str, int]:
    """What each row counts, by its name."""
    return {str(name): int(count) for name, count in answer}


def _text(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8").strip()


def _query(
    title: str,
    name: str,
    headings: tuple[str, ...],
    ask: Callable[[Settings, str], Awaitable[Sequence[Sequence[Any]]]],
) -> Query:
    statement = _text(name)

    async def answer(settings: Settings) -> Sequence[Sequence[object]]:
        return await ask(settings, statement)

    return Query(title, statement, headings, answer)


demo = Demo(
    reader="discogs",
    table_worker="discogs-table",
    graph_worker="discogs-graph",
    sample=Path(str(files(__package__) / "sample")),
    rows=rows,
    graph=graph,
    queries=(
        _query(
            "The tables, in SQL: the styles with the most releases",
            "demo_styles.sql",
            ("style", "releases", "earliest"),
            _ask_tables,
        ),
        _query(
            "The graph, in Cypher: who released under which other name, on which label",
            "demo_names.cypher",
            ("person", "released_as", "label", "releases"),
            _ask_graph,
        ),
    ),
)
