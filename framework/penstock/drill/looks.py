"""How the drills look at a server: past all of Penstock, on a connection of their own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import asyncpg
from neo4j import AsyncGraphDatabase, NotificationMinimumSeverity

from penstock.drill.servers.address import Address

if TYPE_CHECKING:
    from neo4j import AsyncDriver

#: Seconds a connection may take. Less than a look may take.
CONNECT_LIMIT = 1.0
OFF = NotificationMinimumSeverity.OFF


class PostgresLook:
    """One SQL statement, with its values, whose answer is a number."""

    def __init__(self, url: str, statement: str, *values: object) -> None:
        self._url = url
        self._statement = statement
        self._values = values
        self._connection: Any = None

    async def ask(self) -> int:
        """Ask; a connection that failed is opened anew the next time. Raises what the driver raises."""
        try:
            if self._connection is None:
                await greeted(Address(self._url))
                self._connection = await asyncpg.connect(self._url, timeout=CONNECT_LIMIT)
            return int(await self._connection.fetchval(self._statement, *self._values))
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """End the connection, unasked."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None


class Neo4jLook:
    """One Cypher statement, with its values, whose answer is a number."""

    def __init__(self, url: str, statement: str, **values: object) -> None:
        self._address = Address(url)
        self._statement = statement
        self._values = values
        self._driver: AsyncDriver | None = None

    async def ask(self) -> int:
        """Ask; a connection that failed is opened anew the next time. Raises what the driver raises."""
        try:
            if self._driver is None:
                await greeted(self._address)
                login = (self._address.username, self._address.password)
                where = self._address.without_login
                self._driver = AsyncGraphDatabase.driver(
                    where, auth=login, connection_timeout=CONNECT_LIMIT, notifications_min_severity=OFF
                )
            async with self._driver.session() as session:
                found = await (await session.run(self._statement, self._values)).single(strict=True)
                return int(found[0])
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Close the driver, which is bounded in time by its connections' own limit."""
        driver, self._driver = self._driver, None
        if driver is not None:
            await driver.close()


async def greeted(address: Address) -> None:
    """Connect and leave: a server that is away is found out for less than what a driver takes. Raises OSError."""
    async with asyncio.timeout(CONNECT_LIMIT):
        _, writer = await asyncio.open_connection(address.host, address.port)
    writer.close()


class RabbitLook:
    """Whether the broker greets a client; its number is always 0."""

    def __init__(self, url: str) -> None:
        self._address = Address(url)

    async def ask(self) -> int:
        """Connect, and have it say its name. Raises OSError, EOFError."""
        reader, writer = await asyncio.open_connection(self._address.host, self._address.port)
        try:
            writer.write(b"AMQP\x00\x00\x09\x01")
            await reader.readexactly(1)
        finally:
            writer.close()
        return 0

    async def close(self) -> None:
        """Nothing is kept."""


async def sql(url: str, statement: str, *values: object) -> list[list[Any]]:
    """The rows of one SQL statement, each a list."""
    connection = await asyncpg.connect(url)
    try:
        return [list(row) for row in await connection.fetch(statement, *values)]
    finally:
        await connection.close()


async def cypher(url: str, statement: str, **values: object) -> list[list[Any]]:
    """The rows of one Cypher statement, each a list."""
    address = Address(url)
    login = (address.username, address.password)
    async with AsyncGraphDatabase.driver(address.without_login, auth=login, notifications_min_severity=OFF) as driver:
        answer = await driver.execute_query(statement, dict(values))
        return [list(record.values()) for record in answer.records]
