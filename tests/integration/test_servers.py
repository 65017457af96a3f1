"""The servers of the tests do what the outage tests need of them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import aio_pika
import asyncpg
import pytest
from neo4j import AsyncGraphDatabase, GraphDatabase

from penstock.drill.servers import Address, Unavailable, shared_server
from penstock.drill.servers.server import Given

if TYPE_CHECKING:
    from penstock.drill.servers import Server
    from penstock.drill.servers.choose import Kind
    from penstock.drill.servers.management import Management

QUEUE = "kept"


class Store:
    """Something to save in a server, and to find there again."""

    def __init__(self, server: Server, kind: Kind) -> None:
        self.server = server
        self.kind = kind

    async def save(self, text: str) -> None:
        match self.kind:
            case "rabbitmq" | "rabbitmq4":
                async with await aio_pika.connect(self.server.url) as link, link.channel() as channel:
                    queue = await channel.declare_queue(QUEUE, durable=True)
                    await queue.purge()
                    message = aio_pika.Message(text.encode(), delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
                    await channel.default_exchange.publish(message, QUEUE)
            case "postgres":
                connection = await asyncpg.connect(self.server.url)
                await connection.execute("DROP TABLE IF EXISTS kept")
                await connection.execute("CREATE TABLE kept (text text)")
                await connection.execute("INSERT INTO kept VALUES ($1)", text)
                await connection.close()
            case "neo4j":
                await self._cypher("MERGE (kept:Kept) SET kept.text = $text RETURN kept.text", text=text)

    async def load(self) -> str:
        match self.kind:
            case "rabbitmq" | "rabbitmq4":
                async with await aio_pika.connect(self.server.url) as link, link.channel() as channel:
                    queue = await channel.get_queue(QUEUE)
                    message = await queue.get()
                    return message.body.decode()
            case "postgres":
                connection = await asyncpg.connect(self.server.url)
                try:
                    return str(await connection.fetchval("SELECT text FROM kept"))
                finally:
                    await connection.close()
            case "neo4j":
                return await self._cypher("MATCH (kept:Kept) RETURN kept.text")

    async def _cypher(self, query: str, **parameters: str) -> str:
        address = self.server.address
        login = (address.username, address.password)
        async with AsyncGraphDatabase.driver(address.without_login, auth=login) as driver:
            answer = await driver.execute_query(query, parameters)
            return str(answer.records[0].value())


@pytest.fixture(scope="module")
def rabbitmq_store(own_rabbitmq: Server) -> Store:
    return Store(own_rabbitmq, "rabbitmq")


@pytest.fixture(scope="module")
def rabbitmq4_store(own_rabbitmq4: Server) -> Store:
    return Store(own_rabbitmq4, "rabbitmq4")


@pytest.fixture(scope="module")
def postgres_store(own_postgres: Server) -> Store:
    return Store(own_postgres, "postgres")


@pytest.fixture(scope="module")
def neo4j_store(own_neo4j: Server) -> Store:
    return Store(own_neo4j, "neo4j")


@pytest.fixture(
    params=[
        pytest.param("rabbitmq_store", marks=pytest.mark.rabbitmq),
        pytest.param("rabbitmq4_store", marks=pytest.mark.rabbitmq),
        pytest.param("postgres_store", marks=pytest.mark.postgres),
        pytest.param("neo4j_store", marks=pytest.mark.neo4j),
    ]
)
def store(request: pytest.FixtureRequest) -> Store:
    found: Store = request.getfixturevalue(request.param)
    return found


async def test_stop_ends_the_server_and_start_brings_its_data_back_on_the_same_port(store: Store) -> None:
    url = store.server.url
    await store.save("stopped")
    store.server.stop()
    assert not await answers(store.server)
    store.server.start()
    assert store.server.url == url
    assert await store.load() == "stopped"


async def test_kill_ends_the_server_and_start_brings_its_data_back(store: Store) -> None:
    await store.save("killed")
    store.server.kill()
    assert not await answers(store.server)
    store.server.start()
    assert await store.load() == "killed"


async def test_a_frozen_server_takes_connections_and_answers_once_thawed(store: Store) -> None:
    await store.save("frozen")
    store.server.freeze()
    assert await answers(store.server)
    loading = asyncio.create_task(store.load())
    done, _ = await asyncio.wait([loading], timeout=1)
    assert not done
    store.server.thaw()
    assert await asyncio.wait_for(loading, 30) == "frozen"


async def test_a_frozen_server_can_be_killed(own_postgres: Server) -> None:
    store = Store(own_postgres, "postgres")
    await store.save("killed while frozen")
    own_postgres.freeze()
    own_postgres.kill()
    own_postgres.start()
    assert await store.load() == "killed while frozen"


async def test_each_test_has_a_virtual_host_of_its_own(
    broker_url: str, virtual_host: str, management: Management
) -> None:
    async with await aio_pika.connect(broker_url) as link, link.channel() as channel:
        await channel.declare_queue("mine", durable=True, arguments={"x-queue-type": "quorum"})
    assert [queue["name"] for queue in management.queues(virtual_host)] == ["mine"]
    assert management.queue(virtual_host, "mine")["type"] == "quorum"


async def test_the_depth_of_a_queue_can_be_awaited(broker_url: str, virtual_host: str, management: Management) -> None:
    async with await aio_pika.connect(broker_url) as link, link.channel() as channel:
        await channel.declare_queue("filled", durable=True)
        await channel.default_exchange.publish(aio_pika.Message(b"1"), "filled")
    management.wait_for_messages(virtual_host, "filled", 1)
    with pytest.raises(TimeoutError, match="2 messages in filled"):
        management.wait_for_messages(virtual_host, "filled", 2, seconds=0.1)


async def test_each_test_has_an_empty_database_of_its_own(postgres: Server, postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == 0
        assert await connection.fetchval("SELECT current_database()") == urlsplit(postgres_url).path[1:]
    finally:
        await connection.close()
    assert postgres_url != postgres.url


@pytest.mark.parametrize("again", [False, True])
def test_the_graph_is_empty_when_a_test_gets_it(neo4j_url: str, *, again: bool) -> None:
    address = Address(neo4j_url)
    with GraphDatabase.driver(address.without_login, auth=(address.username, address.password)) as driver:
        assert driver.execute_query("MATCH (n) RETURN count(n)").records[0].value() == 0, again
        assert driver.execute_query("SHOW CONSTRAINTS").records == []
        driver.execute_query("CREATE CONSTRAINT kept FOR (n:Kept) REQUIRE n.id IS UNIQUE")
        driver.execute_query("CREATE INDEX found FOR (n:Kept) ON (n.text)")
        driver.execute_query("CREATE (:Kept {id: 1})-[:KNOWS]->(:Kept {id: 2})")


async def test_a_wrong_password_is_refused(postgres: Server) -> None:
    address = postgres.address
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(host=address.host, port=address.port, user=address.username, password="wrong")


def test_a_given_server_is_used_and_not_controlled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PENSTOCK_TEST_POSTGRES_URL", "postgresql://me:secret@db.example:6543/postgres")
    server = shared_server("postgres")
    assert isinstance(server, Given)
    assert (server.address.host, server.address.port, server.address.password) == ("db.example", 6543, "secret")
    assert "secret" not in repr(server)
    with pytest.raises(Unavailable, match=r"db\.example was given by environment"):
        server.stop()


async def answers(server: Server) -> bool:
    """Whether its port takes a connection."""
    try:
        _, writer = await asyncio.open_connection(server.address.host, server.address.port)
    except OSError:
        return False
    writer.close()
    await writer.wait_closed()
    return True
