"""Fixtures of all tests: real servers, started when the first test asks for one."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING

import asyncpg
import pytest

from servers import Unavailable, private_server, shared_server
from servers.graph import wipe
from servers.management import Management
from support.cli import Installation

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from servers import Server
    from servers.choose import Kind

pytest_plugins = ["fixtures_data", "support.outside"]

KINDS: tuple[Kind, ...] = ("rabbitmq", "postgres", "neo4j")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers it needs, so that `-m "not neo4j"` leaves out the right ones."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        for kind in KINDS:
            if kind in names or f"own_{kind}" in names:
                item.add_marker(kind)


@contextmanager
def _running(make: Callable[[Kind], Server], kind: Kind) -> Iterator[Server]:
    try:
        server = make(kind)
    except Unavailable as reason:
        if os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{reason} (PENSTOCK_REQUIRE_SERVICES=1 makes this a failure)", pytrace=False)
        pytest.skip(str(reason))
    try:
        yield server
    finally:
        server.close()


@pytest.fixture(scope="session")
def rabbitmq() -> Iterator[Server]:
    """RabbitMQ for all tests: not to be stopped."""
    with _running(shared_server, "rabbitmq") as server:
        yield server


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """PostgreSQL for all tests: not to be stopped."""
    with _running(shared_server, "postgres") as server:
        yield server


@pytest.fixture(scope="session")
def neo4j() -> Iterator[Server]:
    """Neo4j for all tests: not to be stopped."""
    with _running(shared_server, "neo4j") as server:
        yield server


@pytest.fixture(scope="module")
def own_rabbitmq() -> Iterator[Server]:
    """RabbitMQ for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _running(private_server, "rabbitmq") as server:
        yield server


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Server]:
    """PostgreSQL for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _running(private_server, "postgres") as server:
        yield server


@pytest.fixture(scope="module")
def own_neo4j() -> Iterator[Server]:
    """Neo4j for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _running(private_server, "neo4j") as server:
        yield server


@pytest.fixture
def management(rabbitmq: Server) -> Iterator[Management]:
    """The management API of the broker that all tests share."""
    with Management(rabbitmq.address) as client:
        yield client


@pytest.fixture
def virtual_host(management: Management) -> Iterator[str]:
    """The name of a virtual host that is this test's own."""
    name = f"test-{secrets.token_hex(6)}"
    management.add_virtual_host(name)
    yield name
    management.remove_virtual_host(name)


@pytest.fixture
def broker_url(rabbitmq: Server, virtual_host: str) -> str:
    """The URL of a virtual host that is this test's own."""
    return rabbitmq.address.within(virtual_host)


@pytest.fixture
async def postgres_url(postgres: Server) -> AsyncIterator[str]:
    """The URL of an empty database that is this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    await _administer(postgres, f'CREATE DATABASE "{name}"')
    yield postgres.address.within(name)
    await _administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def neo4j_url(neo4j: Server) -> str:
    """The URL of a graph that is empty: no nodes, no constraints, no indexes."""
    wipe(neo4j.address)
    return neo4j.url


async def _administer(server: Server, statement: str) -> None:
    connection = await asyncpg.connect(server.url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def penstock(broker_url: str, postgres_url: str, neo4j_url: str) -> Installation:
    """This checkout's commands, pointed at real servers that are this test's own."""
    return Installation({"RABBITMQ_URL": broker_url, "POSTGRES_URL": postgres_url, "NEO4J_URL": neo4j_url})
