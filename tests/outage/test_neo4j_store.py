"""What becomes of a transaction whose server freezes or dies in the middle of it."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from penstock.errors import ConnectionLost, SinkUnavailable
from penstock.settings import Neo4j
from penstock.sink import Endpoint
from penstock.stores.neo4j import CLOSE_LIMIT, Pool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from penstock.drill.servers import Server

#: Of every transaction here, in seconds.
LIMIT = 2.0
#: What the event loop may take on a busy machine beyond what it was told, in seconds.
GRACE = 3.0


@pytest.fixture
def server(own_neo4j: Server) -> Iterator[Server]:
    yield own_neo4j
    own_neo4j.thaw()
    own_neo4j.start()


@asynccontextmanager
async def pool_of(server: Server, time_limit: float = LIMIT) -> AsyncIterator[Pool]:
    pool = Pool(Endpoint("graph", server.url), Neo4j(connect_timeout=LIMIT), "test-outage", time_limit=time_limit)
    try:
        yield pool
    finally:
        await pool.close()


async def create_around(pool: Pool, label: str, harm: Callable[[], None]) -> None:
    """Create a node before and one after the harm is done, in one transaction."""
    async with pool.transaction() as transaction:
        await transaction.run(f"CREATE (:{label})")
        harm()
        await transaction.run(f"CREATE (:{label})")


async def count(server: Server, label: str) -> object:
    async with pool_of(server, 60) as pool, pool.transaction() as transaction:
        [[number]] = await transaction.run(f"MATCH (n:{label}) RETURN count(n)")
        return number


async def test_a_server_that_freezes_in_the_middle_is_lost_at_the_time_limit(server: Server) -> None:
    loop = asyncio.get_running_loop()
    async with pool_of(server) as pool:
        await warm(pool)
        started = loop.time()
        with pytest.raises(ConnectionLost, match="graph did not answer within the time limit"):
            await create_around(pool, "Frozen", server.freeze)
        assert loop.time() - started < LIMIT + GRACE
        # Nobody in the pool believes in a connection now; neither the next user nor close waits for one.
        with pytest.raises(SinkUnavailable, match="time limit"):
            await pool.ping()
        started = loop.time()
    assert loop.time() - started < CLOSE_LIMIT + GRACE
    server.thaw()
    assert await count(server, "Frozen") == 0


async def test_a_task_cancelled_while_its_server_is_frozen_ends_at_once(server: Server) -> None:
    loop = asyncio.get_running_loop()
    frozen = asyncio.Event()

    def freeze() -> None:
        server.freeze()
        frozen.set()

    async with pool_of(server, 60) as pool:
        await warm(pool)
        task = asyncio.create_task(create_around(pool, "Cancelled", freeze))
        await frozen.wait()
        started = loop.time()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert loop.time() - started < GRACE
    server.thaw()
    assert await count(server, "Cancelled") == 0


async def test_a_server_that_dies_in_the_middle_is_a_lost_connection_and_the_pool_recovers(server: Server) -> None:
    async with pool_of(server, 60) as pool:
        with pytest.raises(ConnectionLost):
            await create_around(pool, "Killed", server.kill)
        with pytest.raises(SinkUnavailable, match="NEO4J_HOST"):
            await pool.ping()
        await asyncio.to_thread(server.start)
        await pool.ping()
    assert await count(server, "Killed") == 0


async def warm(pool: Pool) -> None:
    """A server that has just started takes seconds for its first transaction."""
    async with pool.transaction(60) as transaction:
        await transaction.run("CREATE (n:Frozen:Cancelled) DELETE n")
