"""Which server a test gets: a given one, one in Docker, one installed here, one in a wheel, or why there is none."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeVar

from docker.errors import DockerException

from penstock.drill.servers import container
from penstock.drill.servers.address import Address
from penstock.drill.servers.embedded import development_broker, embedded_graph, embedded_postgres
from penstock.drill.servers.graph import native_neo4j
from penstock.drill.servers.pgbouncer import native_pgbouncer
from penstock.drill.servers.postgres import native_postgres
from penstock.drill.servers.postgres_standby import await_standby, native_standby
from penstock.drill.servers.rabbitmq import native_rabbitmq, native_rabbitmq4
from penstock.drill.servers.server import Given, Server, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from penstock.drill.servers.native import NativeServer

Kind = Literal["rabbitmq", "rabbitmq4", "postgres", "neo4j"]
Started = TypeVar("Started", bound=Server)

NATIVE: dict[Kind, Callable[[], Server]] = {
    "rabbitmq": native_rabbitmq,
    "rabbitmq4": native_rabbitmq4,
    "postgres": native_postgres,
    "neo4j": native_neo4j,
}
CONTAINER: dict[Kind, Callable[[], Server]] = {
    "rabbitmq": container.rabbitmq_container,
    "rabbitmq4": container.rabbitmq4_container,
    "postgres": container.postgres_container,
    "neo4j": container.neo4j_container,
}
#: What serves many a test where the real one is absent. PostgreSQL's wheel is not among them: it is a real PostgreSQL.
STAND_IN: dict[Kind, Callable[[], Server]] = {"rabbitmq": development_broker, "neo4j": embedded_graph}
#: With `embedded` neither Docker nor what is installed here is used: as on a machine with Python alone.
ONLY = "PENSTOCK_TEST_SERVERS"


def shared_server(kind: Kind) -> Server:
    """A running server for many tests, none of which may stop it. Raises Unavailable."""
    url = os.environ.get(f"PENSTOCK_TEST_{kind.upper()}_URL")
    return Given(_given(kind, url)) if url else private_server(kind)


def private_server(kind: Kind) -> Server:
    """A running server that the caller may stop and kill, and has to close. Raises Unavailable."""
    reasons = []
    for way in _ways(kind):
        try:
            return _started(way())
        except (Unavailable, DockerException) as error:
            # Docker fails where an engine cannot get at the image, say.
            reasons.append(f"Docker failed: {error}" if isinstance(error, DockerException) else str(error))
    given = f"or set PENSTOCK_TEST_{kind.upper()}_URL (serves all but own_{kind})"
    raise Unavailable("; ".join([*reasons, given]))


def private_pgbouncer(postgres: Address) -> Server:
    """A running PgBouncer before that server: to be stopped, killed and closed by the caller. Raises Unavailable."""
    return _started(_left_out() if _embedded_only() else native_pgbouncer(postgres))


def private_standby(primary: Server) -> NativeServer:
    """A running synchronous standby of that PostgreSQL: to be promoted, killed and closed by the caller.

    Raises Unavailable. The primary waits for it until `postgres_standby.forget_standby`.
    """
    standby = _started(native_standby(primary))
    try:
        await_standby(primary)
    except BaseException:
        standby.close()
        raise
    return standby


def stand_in(kind: Kind) -> Server:
    """A running server of the embedded stack that takes the place of an absent one. Raises Unavailable."""
    return _started(STAND_IN[kind]())


def _ways(kind: Kind) -> Iterator[Callable[[], Server]]:
    if _embedded_only():
        yield _left_out
    else:
        yield CONTAINER[kind] if _docker() else _no_engine
        yield NATIVE[kind]
    if kind == "postgres":
        yield embedded_postgres


def _embedded_only() -> bool:
    return os.environ.get(ONLY) == "embedded"


def _no_engine() -> Server:
    raise Unavailable("no Docker engine answers")


def _left_out() -> Server:
    raise Unavailable(f"{ONLY}=embedded leaves out Docker and what is installed here")


def _started(server: Started) -> Started:
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server


@cache
def _docker() -> bool:
    return container.engine_answers()


def _given(kind: Kind, url: str) -> Address:
    if not kind.startswith("rabbitmq"):
        return Address(url)
    management = os.environ.get(f"PENSTOCK_TEST_{kind.upper()}_MANAGEMENT_URL")
    return Address(url, management or f"http://{Address(url).host}:15672")
