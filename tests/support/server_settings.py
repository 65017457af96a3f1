"""Settings of a PostgreSQL server, changed for one test."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from penstock.drill.servers.wait import INTERVAL

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: A connection of a superuser.
Connection = Any


@asynccontextmanager
async def set_to(connection: Connection, name: str, value: str) -> AsyncIterator[None]:
    """Within the block the server's setting has the value, and before it as after it another one."""
    before = await _shown(connection, name)
    await connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
    await _reload(connection, name, value)
    try:
        yield
    finally:
        await connection.execute(f"ALTER SYSTEM RESET {name}")
        await _reload(connection, name, before)


async def _reload(connection: Connection, name: str, value: str) -> None:
    await connection.execute("SELECT pg_reload_conf()")
    async with asyncio.timeout(10):
        while await _shown(connection, name) != value:  # noqa: ASYNC110 the server tells nobody
            await asyncio.sleep(INTERVAL)


async def _shown(connection: Connection, name: str) -> str:
    return str(await connection.fetchval(f"SHOW {name}"))
