"""What the stores hold, asked past all of Penstock."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from neo4j import GraphDatabase

from penstock.drill.servers import Address

if TYPE_CHECKING:
    from collections.abc import Iterator

    from neo4j import Driver

TABLES = ("artists", "labels", "masters", "releases")
#: A Genre has a name and no id; every other node has an id.
KEY = "coalesce({0}.id, {0}.name)"


async def ask(url: str, statement: str, *values: object) -> list[list[Any]]:
    """The rows of one SQL statement, each a list."""
    connection = await asyncpg.connect(url)
    try:
        return [list(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def rows(url: str, table: str) -> int:
    """How many rows a table has."""
    return int((await ask(url, f'SELECT count(*) FROM "{table}"'))[0][0])  # noqa: S608 a test's own table


async def discogs_rows(url: str) -> dict[str, int]:
    """The rows of each Discogs table."""
    return {table: await rows(url, table) for table in TABLES}


async def row_versions(url: str) -> set[tuple[str, str, str]]:
    """Table, key and xmin of every Discogs row: a row that is written again has another xmin."""
    found = set()
    for table in TABLES:
        statement = f'SELECT data_id, xmin::text FROM "{table}"'  # noqa: S608 one of TABLES
        found |= {(table, key, xmin) for key, xmin in await ask(url, statement)}
    return found


@contextmanager
def graph(url: str) -> Iterator[Driver]:
    """A driver with the URL's own login."""
    address = Address(url)
    with GraphDatabase.driver(address.without_login, auth=(address.username, address.password)) as driver:
        yield driver


def query(url: str, statement: str, **parameters: object) -> list[list[Any]]:
    """The rows of one Cypher statement, each a list."""
    with graph(url) as driver:
        return [list(record.values()) for record in driver.execute_query(statement, parameters).records]


def nodes(url: str) -> set[tuple[str, str]]:
    """Label and key of every node; fails where one is there twice."""
    found = [tuple(row) for row in query(url, f"MATCH (n) RETURN labels(n)[0], {KEY.format('n')}")]
    assert len(found) == len(set(found))
    return set(found)


def edges(url: str) -> set[tuple[str, tuple[str, str], tuple[str, str]]]:
    """Type, start and end of every edge; fails where one is there twice."""
    ends = ", ".join(f"labels({end})[0], {KEY.format(end)}" for end in "ab")
    found = [(kind, (a, b), (c, d)) for kind, a, b, c, d in query(url, f"MATCH (a)-[k]->(b) RETURN type(k), {ends}")]
    assert len(found) == len(set(found))
    return set(found)


def whole_graph(url: str) -> set[tuple[str, ...]]:
    """Every node and every edge with its element id and properties: equal only where nothing was written anew."""
    found = query(url, "MATCH (n) RETURN 'node', elementId(n), properties(n)")
    found += query(url, "MATCH ()-[k]->() RETURN 'edge', elementId(k), properties(k)")
    return {(kind, element, repr(sorted(properties.items()))) for kind, element, properties in found}
