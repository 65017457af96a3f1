"""The pool of a graph, as far as it needs no server."""

from __future__ import annotations

import asyncio
import socket

import pytest

from penstock.errors import ConnectionLost, SettingsError, SinkUnavailable
from penstock.settings import Neo4j, Settings
from penstock.sink import Endpoint
from penstock.stores.neo4j import Pool, endpoints
from support.wait import until


def test_the_endpoint_of_the_settings() -> None:
    settings = Settings(neo4j=Neo4j.model_validate({"host": "graph:7688", "database": "music", "password": "hush"}))
    [endpoint] = endpoints(settings)
    assert endpoint == Endpoint("graph:7688/music", "bolt://neo4j:hush@graph:7688/music")


def test_backups_come_after_the_primary_with_its_login_and_database_where_they_name_none() -> None:
    backups = "neo4j+s://b bolt://ann:hunter2@c:1/other"
    parts = {"host": "a", "database": "music", "password": "hush", "backup_url": backups, "regions": "north south west"}
    found = endpoints(Settings(neo4j=Neo4j.model_validate(parts)))
    assert list(found) == [
        Endpoint("a:7687/music", "bolt://neo4j:hush@a:7687/music", "north"),
        Endpoint("b:7687/music", "neo4j+s://neo4j:hush@b:7687/music", "south"),
        Endpoint("c:1/other", "bolt://ann:hunter2@c:1/other", "west"),
    ]
    assert "hush" not in repr(found)
    assert "hunter2" not in repr(found)


def test_a_backup_that_cannot_be_read_is_named_and_not_shown() -> None:
    neo4j = Neo4j.model_validate({"backup_url": "bolt://ann:hunter2@c/two/parts"})
    with pytest.raises(SettingsError, match=r"^NEO4J_BACKUP_URL cannot be read") as raised:
        endpoints(Settings(neo4j=neo4j))
    assert "hunter2" not in str(raised.value)


async def test_a_port_nobody_listens_on_is_an_outage_that_names_the_endpoint() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    pool = Pool(Endpoint("graph", f"bolt://127.0.0.1:{port}"), Neo4j(), "test", time_limit=30)
    with pytest.raises(SinkUnavailable, match=r"graph cannot be reached: .*: check NEO4J_HOST") as caught:
        await pool.ping()
    assert not isinstance(caught.value, ConnectionLost)
    await pool.close()


async def test_a_server_that_never_answers_is_given_up_at_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"bolt://127.0.0.1:{listener.getsockname()[1]}"
        pool = Pool(Endpoint("graph", url), Neo4j(), "test", time_limit=0.2)
        with pytest.raises(SinkUnavailable, match="graph did not answer within the time limit"):
            await pool.ping()
        await pool.close()
        await pool.close()


async def test_a_closed_pool_is_an_outage() -> None:
    pool = Pool(Endpoint("graph", "bolt://127.0.0.1:1"), Neo4j(), "test", time_limit=1)
    await pool.close()
    with pytest.raises(SinkUnavailable):
        await pool.ping()


async def test_who_waits_for_a_connection_is_seen_and_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"bolt://127.0.0.1:{listener.getsockname()[1]}"
        pool = Pool(Endpoint("graph", url), Neo4j(pool_size=1), "test", time_limit=0.3)
        waiting = [asyncio.create_task(pool.ping()) for _ in range(2)]
        await until(lambda: pool.state.waiting == 2, "both wait")
        assert (pool.state.limit, pool.state.waits, pool.state.lent) == (1, 1, 0)
        results = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(result, SinkUnavailable) for result in results)
        assert (pool.state.waiting, pool.state.in_use, pool.state.lent) == (0, 0, 0)
        assert pool.state.acquire_seconds > 0.3
        await pool.close()
