"""The faults that drills make in servers are the real ones: a client gets the error that production would give it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import pytest
from aio_pika.exceptions import PublishError
from neo4j.exceptions import DriverError, Neo4jError

from penstock.drill import faults_neo4j, faults_postgres, faults_rabbitmq
from penstock.drill.looks import sql
from penstock.drill.servers.folder import sweep
from penstock.drill.servers.management import Management
from penstock.drill.servers.native import NativeServer
from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.stores import neo4j_errors, postgres_errors
from support import broker, stores
from support.amqp import put

if TYPE_CHECKING:
    from aio_pika.abc import AbstractChannel, AbstractConnection

    from penstock.drill.servers import Server

DATABASE, ROLE, PASSWORD = "faulty", "faulty_worker", "right"
INSERT = "INSERT INTO kept SELECT n, repeat('x', 1000) FROM generate_series(1, 10000) AS n"
#: How long to look for a confirm that must not come, in seconds.
SILENCE = 2
WORK = {"x-queue-type": "quorum", "x-delivery-limit": 7}


@pytest.fixture(scope="module")
def database(own_postgres: Server) -> str:
    """The URL of a database whose owner is a role of its own."""
    asyncio.run(sql(own_postgres.url, f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'"))
    asyncio.run(sql(own_postgres.url, f"CREATE DATABASE {DATABASE} OWNER {ROLE}"))
    parts = urlsplit(own_postgres.address.within(DATABASE))
    url = parts._replace(netloc=f"{ROLE}:{PASSWORD}@{own_postgres.address.host}:{own_postgres.address.port}").geturl()
    asyncio.run(sql(url, "CREATE TABLE kept (number int PRIMARY KEY, text text)"))
    return url


def state_of(url: str, statement: str = "SELECT 1") -> str | None:
    """The SQLSTATE that a client gets, which never is the data's fault; None where all is well."""
    try:
        asyncio.run(sql(url, statement))
    except asyncpg.PostgresError as error:
        if isinstance(postgres_errors.classify(error), BatchError):
            raise
        return error.sqlstate
    return None


def meaning_on(runner: asyncio.Runner, connection: asyncpg.Connection[asyncpg.Record]) -> BatchError | SinkUnavailable:
    """What it means to Penstock when a statement fails on a connection that was made before."""
    with pytest.raises(postgres_errors.DRIVER_ERRORS) as failed:
        runner.run(connection.execute("SELECT 1"))
    connection.terminate()
    return postgres_errors.classify(failed.value)


def test_postgresql_with_another_password(own_postgres: Server, database: str) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(database))
        with faults_postgres.wrong_password(own_postgres, ROLE):
            assert state_of(database) == "28P01"
            assert isinstance(meaning_on(runner, connection), ConnectionLost)
            assert state_of(own_postgres.url) is None
    assert state_of(database) is None


def test_postgresql_with_a_full_disk(own_postgres: Server, database: str) -> None:
    assert isinstance(own_postgres, NativeServer)
    with faults_postgres.disk_full(own_postgres, DATABASE):
        assert state_of(database, INSERT) == "53100"
        assert state_of(database, "SELECT count(*) FROM kept") is None
    assert state_of(database, INSERT) is None
    spaces = "SELECT count(*) FROM pg_tablespace WHERE spcname NOT LIKE 'pg\\_%'"
    assert asyncio.run(sql(own_postgres.url, spaces)) == [[0]]
    assert str(own_postgres.folder.path) not in Path("/proc/mounts").read_text()


def test_postgresql_that_recovers_from_a_crash(own_postgres: Server, database: str) -> None:
    asyncio.run(sql(database, "CREATE TABLE before AS SELECT generate_series(1, 1000) AS number"))
    with faults_postgres.recovering(own_postgres):
        for _ in range(3):
            assert state_of(database) == "57P03"
    assert asyncio.run(sql(database, "SELECT count(*) FROM before")) == [[1000]]


def test_pgbouncer_that_is_started_again(own_pgbouncer: Server) -> None:
    with asyncio.Runner() as runner:
        connection = runner.run(asyncpg.connect(own_pgbouncer.url, statement_cache_size=0))
        runner.run(connection.execute("SELECT 1"))
        own_pgbouncer.stop()
        own_pgbouncer.start()
        assert isinstance(meaning_on(runner, connection), ConnectionLost)
    assert state_of(own_pgbouncer.url) is None


def code_of(url: str, statement: str = "RETURN 1") -> str | None:
    """The code of the error that a client of Neo4j gets, never the data's fault; None where all is well."""
    try:
        stores.query(url, statement)
    except (Neo4jError, DriverError) as error:
        if isinstance(neo4j_errors.classify(error), BatchError):
            raise
        return error.code if isinstance(error, Neo4jError) else type(error).__name__
    return None


def test_neo4j_with_another_password(own_neo4j: Server) -> None:
    with stores.graph(own_neo4j.url) as driver, driver.session() as session:
        session.run("RETURN 1").consume()
        with faults_neo4j.wrong_password(own_neo4j):
            with pytest.raises((Neo4jError, DriverError)) as failed:
                session.run("RETURN 1").consume()
            assert isinstance(neo4j_errors.classify(failed.value), SinkUnavailable)
            assert code_of(own_neo4j.url) == "Neo.ClientError.Security.Unauthorized"
    assert code_of(own_neo4j.url) is None
    assert stores.query(own_neo4j.url, "SHOW USERS YIELD user") == [["neo4j"]]


def test_neo4j_with_a_full_disk(own_neo4j: Server) -> None:
    assert isinstance(own_neo4j, NativeServer)
    create = "UNWIND range(1, 1000) AS n CREATE (:Full {text: 'some text that takes some room'})"
    with faults_neo4j.on_small_disk(own_neo4j) as disk:
        assert code_of(own_neo4j.url, create) is None
        with faults_neo4j.disk_full(own_neo4j, disk):
            assert code_of(own_neo4j.url, create) == "Neo.DatabaseError.Transaction.TransactionLogError"
            # It gives up, and has to be started again.
            assert code_of(own_neo4j.url) == "Neo.DatabaseError.Transaction.TransactionStartFailed"
        assert code_of(own_neo4j.url, create) is None
    assert stores.query(own_neo4j.url, "MATCH (n:Full) RETURN count(n)") == [[2000]]
    assert str(own_neo4j.folder.path) not in Path("/proc/mounts").read_text()


LEAVES_A_DISK = """
import os
from penstock.drill.servers.disk import small_disk
from penstock.drill.servers.folder import Folder
folder = Folder("killed")
disk = small_disk(folder.path / "disk", 4096)
disk.__enter__()
print(folder.path, flush=True)
os.kill(os.getpid(), 9)
"""


def test_a_disk_that_a_killed_run_has_left_is_cleared_away(own_postgres: Server) -> None:
    assert isinstance(own_postgres, NativeServer)
    left = subprocess.run([sys.executable, "-c", LEAVES_A_DISK], capture_output=True, text=True, check=False).stdout
    place = Path(left.strip())
    assert f"{place}/disk" in Path("/proc/mounts").read_text()
    sweep()
    assert f"{place}/disk" not in Path("/proc/mounts").read_text()
    assert not place.exists()


@pytest.fixture(params=["own_rabbitmq", "own_rabbitmq4"])
def server(request: pytest.FixtureRequest) -> Server:
    """A broker of either version."""
    found: Server = request.getfixturevalue(request.param)
    return found


def test_rabbitmq_with_a_memory_alarm(server: Server) -> None:
    async def begin(channel: AbstractChannel) -> asyncio.Task[None]:
        sending = asyncio.create_task(put(channel, "alarmed", b"2"))
        done, _ = await asyncio.wait({sending}, timeout=SILENCE)
        assert not done
        return sending

    asyncio.run(broker.declare_queue(server.url, "alarmed", "shop", WORK))
    with asyncio.Runner() as runner:
        connection = runner.run(aio_pika.connect(server.url))
        channel = runner.run(_opened(connection))
        runner.run(put(channel, "alarmed", b"1"))
        with faults_rabbitmq.memory_alarm(server):
            sending = runner.run(begin(channel))
            # Who never published goes on.
            assert runner.run(broker.depth(server.url, "alarmed")) == 1
        runner.run(asyncio.wait_for(sending, 30))
        runner.run(connection.close())
        found = runner.run(broker.take_all(server.url, "alarmed"))
    assert [message.body for message in found] == [b"1", b"2"]


async def _opened(connection: AbstractConnection) -> AbstractChannel:
    return await connection.channel()


def test_rabbitmq_with_a_queue_that_is_gone_for_a_while(server: Server) -> None:
    asyncio.run(broker.declare_queue(server.url, "gone", "gone", WORK))
    asyncio.run(broker.publish(server.url, "gone", [("any", b"1")]))
    with Management(server.address) as management:
        before = management.queue("/", "gone")["arguments"]
        with faults_rabbitmq.queue_gone(server, "/", "gone"), pytest.raises(PublishError):
            asyncio.run(broker.publish(server.url, "gone", [("any", b"2")]))
        assert management.queue("/", "gone")["arguments"] == before
    asyncio.run(broker.publish(server.url, "gone", [("any", b"3")]))
    assert [message.body for message in asyncio.run(broker.take_all(server.url, "gone"))] == [b"3"]
