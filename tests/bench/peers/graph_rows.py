"""Rows of the graph's statements, made beforehand, and the session they are written in."""

from __future__ import annotations

import hashlib
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import neo4j
from pydantic import TypeAdapter

from penstock.drill.servers import Address
from penstock_workers.discogs.graph import PATTERN, mapping
from penstock_workers.discogs.records import DiscogsRecord
from penstock_workers.graph.statements import compose

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

STATEMENTS = compose(PATTERN)
NODES = {node.kind: node for node in PATTERN.nodes}
MODEL: TypeAdapter[Any] = TypeAdapter(DiscogsRecord)
SECONDS = 600


def plain(kind: str) -> str:
    """What somebody would write by hand: the node merged, its properties set, its edges merged; no gate before it."""
    return STATEMENTS.write[kind].replace("MATCH (n:", "MERGE (n:", 1)


def row_of(body: bytes) -> tuple[str, dict[str, Any]]:
    """Kind and row of a message."""
    node = mapping(MODEL.validate_json(body))
    hash_ = hashlib.sha256(body).hexdigest()
    own = {NODES[node.kind].key: node.id, "hash": hash_}
    edges = {edge.field: list(node.edges.get(edge.field, ())) for edge in NODES[node.kind].edges}
    return node.kind, {"id": node.id, "hash": hash_, "properties": {**node.properties, **own}, "edges": edges}


@asynccontextmanager
async def session(url: str) -> AsyncIterator[neo4j.AsyncSession]:
    """A session, once the constraints are there."""
    address = Address(url)
    driver = neo4j.AsyncGraphDatabase.driver(address.without_login, auth=(address.username, address.password))
    async with driver, driver.session() as opened:
        for constraint in STATEMENTS.constraints:
            await (await opened.run(constraint)).consume()
        await (await opened.run(STATEMENTS.online, {"seconds": SECONDS})).consume()
        yield opened
