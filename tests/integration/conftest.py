"""What integration tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import asyncpg
import pytest

from support.tables import Database

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """An empty database, and a connection past all of Penstock to look into it."""
    connection = await asyncpg.connect(postgres_url)
    yield Database(postgres_url, connection)
    await connection.close()
