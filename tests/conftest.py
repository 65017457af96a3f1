"""Fixtures of all tests: real servers, started when the first test asks for one."""

from __future__ import annotations

import os
import secrets
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

import asyncpg
import pytest

from penstock.drill.installation import Installation
from penstock.drill.servers import (
    Address,
    Server,
    Unavailable,
    private_pgbouncer,
    private_server,
    private_standby,
    running,
    shared_server,
    stand_in,
)
from penstock.drill.servers.embedded import development_broker
from penstock.drill.servers.graph import wipe
from penstock.drill.servers.management import Management
from penstock.drill.servers.postgres_standby import forget_standby

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from penstock.drill.servers.choose import Kind
    from penstock.drill.servers.native import NativeServer

pytest_plugins = ["fixtures_data", "fixtures_graph", "support.drills", "support.outside"]

#: RabbitMQ as it is in either version.
EITHER = tuple(pytest.param(kind, marks=pytest.mark.rabbitmq) for kind in ("rabbitmq", "rabbitmq4"))

#: A kind of server, or "pgbouncer".
Name = TypeVar("Name", bound=str)
Offered = TypeVar("Offered", bound=Server)
KINDS: tuple[Kind, ...] = ("rabbitmq", "rabbitmq4", "postgres", "neo4j")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark each test with the servers it needs, so that `-m "not neo4j"` leaves out the right ones."""
    for item in items:
        names = getattr(item, "fixturenames", ())
        for kind in KINDS:
            if {kind, f"{kind}_or_none", f"own_{kind}"} & set(names):
                item.add_marker("rabbitmq" if kind == "rabbitmq4" else kind)


#: Servers that tests asked for and that could not be had, and why; and those that had to do without.
ABSENT: dict[str, str] = {}
STANDS_IN = {
    "rabbitmq": "the development broker stood in, but for tests of RabbitMQ itself and of its management API",
    "neo4j": "ArcadeDB stood in, but for tests of Neo4j itself",
    "postgres": "nothing stood in",
    "pgbouncer": "nothing stood in",
    "rabbitmq4": "nothing stood in",
    "standby": "nothing stood in",
}


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say which servers were absent."""
    if ABSENT:
        terminalreporter.section("absent servers")
    for kind, reason in ABSENT.items():
        terminalreporter.write_line(f"{kind}: {STANDS_IN[kind]} ({reason})")


@contextmanager
def _offered(make: Callable[[Name], Offered], kind: Name) -> Iterator[Offered | None]:
    """The real server, or None where it is absent and need not be there."""
    try:
        server = make(kind)
    except Unavailable as reason:
        if os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1":
            pytest.fail(f"{reason} (PENSTOCK_REQUIRE_SERVICES=1 makes this a failure)", pytrace=False)
        ABSENT[kind] = str(reason)
        yield None
        return
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _stand_in(kind: Kind) -> Iterator[Server]:
    """A server of the embedded stack in place of one that is absent."""
    try:
        server = stand_in(kind)
    except Unavailable as reason:
        pytest.skip(f"{ABSENT[kind]}; no stand-in either: {reason}")
    try:
        yield server
    finally:
        server.close()


@contextmanager
def _own(kind: Kind) -> Iterator[Server]:
    with _offered(private_server, kind) as server:
        if server is not None:
            yield server
            return
        with _stand_in(kind) as other:
            yield other


def _real(server: Offered | None, kind: str) -> Offered:
    if server is None:
        pytest.skip(f"{kind} itself is absent: the summary says why")
    return server


@pytest.fixture(scope="session")
def rabbitmq_or_none() -> Iterator[Server | None]:
    """RabbitMQ for all tests, if it can be had."""
    with _offered(shared_server, "rabbitmq") as server:
        yield server


@pytest.fixture(scope="session")
def neo4j_or_none() -> Iterator[Server | None]:
    """Neo4j for all tests, if it can be had."""
    with _offered(shared_server, "neo4j") as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq(rabbitmq_or_none: Server | None) -> Server:
    """RabbitMQ itself for all tests: not to be stopped."""
    return _real(rabbitmq_or_none, "rabbitmq")


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """PostgreSQL for all tests: not to be stopped."""
    with _offered(shared_server, "postgres") as server:
        yield _real(server, "postgres")


@pytest.fixture(scope="session")
def neo4j(neo4j_or_none: Server | None) -> Server:
    """Neo4j itself for all tests: not to be stopped."""
    return _real(neo4j_or_none, "neo4j")


@pytest.fixture(scope="module")
def own_rabbitmq() -> Iterator[Server]:
    """A broker for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _own("rabbitmq") as server:
        yield server


@pytest.fixture(scope="session")
def rabbitmq4() -> Iterator[Server]:
    """RabbitMQ 4.0 for all tests: not to be stopped."""
    with _offered(shared_server, "rabbitmq4") as server:
        yield _real(server, "rabbitmq 4.0")


@pytest.fixture(scope="module")
def own_rabbitmq4() -> Iterator[Server]:
    """A broker of version 4.0 for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _offered(private_server, "rabbitmq4") as server:
        yield _real(server, "rabbitmq 4.0")


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[Server]:
    """PostgreSQL for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _offered(private_server, "postgres") as server:
        yield _real(server, "postgres")


@pytest.fixture(scope="module")
def own_pgbouncer(postgres: Server) -> Iterator[Server]:
    """PgBouncer in transaction mode before the PostgreSQL of all tests; for one file, who may stop and kill it."""
    with _offered(lambda _: private_pgbouncer(postgres.address), "pgbouncer") as server:
        yield _real(server, "pgbouncer")


@pytest.fixture
def own_standby(own_postgres: Server) -> Iterator[NativeServer]:
    """A synchronous standby of `own_postgres`; for one test, who may promote it, and may do to both what it likes."""
    with _offered(lambda _: private_standby(own_postgres), "standby") as server:
        yield _real(server, "a standby of PostgreSQL")
    own_postgres.start()
    forget_standby(own_postgres)


@pytest.fixture(scope="module")
def own_neo4j() -> Iterator[Server]:
    """A graph for the tests of one file, who may stop, kill and freeze it, and leave it running."""
    with _own("neo4j") as server:
        yield server


@pytest.fixture
def management(rabbitmq: Server) -> Iterator[Management]:
    """The management API of the broker that all tests share."""
    with Management(rabbitmq.address) as client:
        yield client


@pytest.fixture
def virtual_host(management: Management) -> Iterator[str]:
    """The name of a virtual host that is this test's own."""
    with management.virtual_host() as name:
        yield name


@pytest.fixture
def broker_url(request: pytest.FixtureRequest, rabbitmq_or_none: Server | None) -> Iterator[str]:
    """The URL of a virtual host that is this test's own; without RabbitMQ, of a development broker of its own."""
    if rabbitmq_or_none is not None:
        yield rabbitmq_or_none.address.within(request.getfixturevalue("virtual_host"))
        return
    with _stand_in("rabbitmq") as server:
        yield server.url


@pytest.fixture(params=EITHER)
def rabbitmq_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a virtual host that is this test's own, on RabbitMQ 3.10 and on 4.0."""
    with _own_host(request.getfixturevalue(request.param)) as url:
        yield url


@pytest.fixture(scope="module")
def development() -> Iterator[Server]:
    """The development broker, for all tests of one file."""
    with running(development_broker()) as server:
        yield server


@pytest.fixture(params=[*EITHER, "development"])
def each_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """RabbitMQ 3.10 and 4.0, in a virtual host of the test's own, and the development broker."""
    server: Server = request.getfixturevalue(request.param)
    if request.param == "development":
        yield server.url
        return
    with _own_host(server) as url:
        yield url


@contextmanager
def _own_host(server: Server) -> Iterator[str]:
    with Management(server.address) as client, client.virtual_host() as name:
        yield server.address.within(name)


@pytest.fixture
async def postgres_url(postgres: Server) -> AsyncIterator[str]:
    """The URL of an empty database that is this test's own."""
    name = f"test_{secrets.token_hex(6)}"
    await _administer(postgres, f'CREATE DATABASE "{name}"')
    yield postgres.address.within(name)
    await _administer(postgres, f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture
def pgbouncer_url(own_pgbouncer: Server, postgres_url: str) -> str:
    """The URL, by way of PgBouncer, of an empty database that is this test's own."""
    return own_pgbouncer.address.within(Address(postgres_url).database)


@pytest.fixture
def neo4j_url(request: pytest.FixtureRequest, neo4j_or_none: Server | None) -> str:
    """The URL of a graph that is empty: no nodes, no constraints, no indexes. Without Neo4j, it is an ArcadeDB."""
    server: Server = neo4j_or_none or request.getfixturevalue("arcadedb")
    wipe(server.address)
    return server.url


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
