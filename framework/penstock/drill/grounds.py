"""The servers on which all drills take place, started when the first drill asks for one."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from penstock.drill.servers import private_server
from penstock.drill.servers.graph import wipe
from penstock.drill.servers.management import Management

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from penstock.drill.servers import Address, Server
    from penstock.drill.servers.choose import Kind

#: As whom the workers log in to PostgreSQL: a role whose password a drill may change.
ROLE = "penstock_drill"
ROLE_PASSWORD = "drill-password"


class Grounds:
    """Servers by kind and name; all are real ones, in Docker or installed here. Closes them at its end."""

    def __init__(self) -> None:
        self._servers: dict[tuple[Kind, str], Server] = {}
        self._closing = ExitStack()
        self._used: list[Callable[[], None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    def server(self, kind: Kind, name: str = "primary") -> Server:
        """The server of that name, running. Raises Unavailable where it cannot be had."""
        if (kind, name) not in self._servers:
            server = self._servers[kind, name] = private_server(kind)
            self._closing.callback(server.close)
        return self._servers[kind, name]

    def restore(self) -> None:
        """Have all servers run that the drill before has left stopped, and clear away what it was given."""
        for server in self._servers.values():
            server.start()
        while self._used:
            self._used.pop()()

    def virtual_host(self, kind: Kind = "rabbitmq") -> str:
        """The URL of an empty virtual host on the broker of that kind."""
        address = self.server(kind).address
        host = f"drill-{secrets.token_hex(4)}"
        with Management(address) as management:
            management.add_virtual_host(host)
        self._used.append(lambda: _remove_virtual_host(address, host))
        return address.within(host)

    def database(self, name: str = "primary") -> str:
        """The URL of an empty database of the PostgreSQL of that name, which belongs to ROLE; the login is ROLE's."""
        server = self.server("postgres", name)
        database = f"drill_{secrets.token_hex(4)}"
        asyncio.run(_create_database(server.url, database))
        self._used.append(lambda: asyncio.run(_drop_database(server.url, database)))
        return with_login(server.address.within(database), ROLE, ROLE_PASSWORD)

    def graph(self, name: str = "primary") -> str:
        """The URL of the Neo4j of that name, emptied."""
        server = self.server("neo4j", name)
        wipe(server.address)
        return server.url


def with_login(url: str, username: str, password: str) -> str:
    """The URL with another login. Neither may hold what a URL has a meaning for."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=f"{username}:{password}@{parts.netloc.rpartition('@')[2]}"))


def _remove_virtual_host(address: Address, host: str) -> None:
    with Management(address) as management:
        management.remove_virtual_host(host)


async def _create_database(url: str, database: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        if not await connection.fetchval("SELECT true FROM pg_roles WHERE rolname = $1", ROLE):
            await connection.execute(f"CREATE ROLE {ROLE} LOGIN PASSWORD '{ROLE_PASSWORD}'")
        await connection.execute(f'CREATE DATABASE "{database}" OWNER {ROLE}')
    finally:
        await connection.close()


async def _drop_database(url: str, database: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(f'DROP DATABASE "{database}" WITH (FORCE)')
    finally:
        await connection.close()
