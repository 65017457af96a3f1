"""Which server a test gets: a given one, one in Docker, one installed here, or the reason why there is none."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING, Literal

from docker.errors import DockerException

from servers import container
from servers.address import Address
from servers.graph import native_neo4j
from servers.postgres import native_postgres
from servers.rabbitmq import native_rabbitmq
from servers.server import Given, Server, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

Kind = Literal["rabbitmq", "postgres", "neo4j"]

NATIVE: dict[Kind, Callable[[], Server]] = {
    "rabbitmq": native_rabbitmq,
    "postgres": native_postgres,
    "neo4j": native_neo4j,
}
CONTAINER: dict[Kind, Callable[[], Server]] = {
    "rabbitmq": container.rabbitmq_container,
    "postgres": container.postgres_container,
    "neo4j": container.neo4j_container,
}


def shared_server(kind: Kind) -> Server:
    """A running server for many tests, none of which may stop it. Raises Unavailable."""
    url = os.environ.get(f"PENSTOCK_TEST_{kind.upper()}_URL")
    return Given(_given(kind, url)) if url else private_server(kind)


def private_server(kind: Kind) -> Server:
    """A running server that the caller may stop and kill, and has to close. Raises Unavailable."""
    found = "no Docker engine answers"
    if _docker():
        try:
            return _started(CONTAINER[kind]())
        except DockerException as error:
            # An engine that cannot get at the image, say.
            found = f"Docker failed: {error}"
    try:
        return _started(NATIVE[kind]())
    except Unavailable as reason:
        given = f"set PENSTOCK_TEST_{kind.upper()}_URL (serves all but own_{kind})"
        message = f"{reason}; or start a Docker engine ({found}); or {given}"
        raise Unavailable(message) from None


def _started(server: Server) -> Server:
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
    if kind != "rabbitmq":
        return Address(url)
    management = os.environ.get("PENSTOCK_TEST_RABBITMQ_MANAGEMENT_URL")
    return Address(url, management or f"http://{Address(url).host}:15672")
