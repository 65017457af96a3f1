"""What integration tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from penstock.drill.servers.management import Management
from support.tables import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from penstock.drill.servers import Server


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """An empty database, and a connection past all of Penstock to look into it."""
    connection = await asyncpg.connect(postgres_url)
    yield Database(postgres_url, connection)
    await connection.close()


@pytest.fixture(params=["rabbitmq", "rabbitmq4"])
def rabbitmq_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of a virtual host that is this test's own, on RabbitMQ 3.10 and on 4.0."""
    server: Server = request.getfixturevalue(request.param)
    with Management(server.address) as management, management.virtual_host() as virtual_host:
        yield server.address.within(virtual_host)
