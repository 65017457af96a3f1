"""Reads from two real servers: the preferred one is killed and comes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pydantic import SecretStr

from penstock.clock import SystemClock
from penstock.metrics import Metrics
from penstock.reads import Reads
from penstock.settings import BreakerSettings, FailoverSettings, Postgres, Settings
from penstock.stores.postgres import Pool, endpoints

if TYPE_CHECKING:
    from penstock.drill.servers import Server


async def port(pool: Pool) -> int:
    async with pool.transaction() as connection:
        return int(await connection.fetchval("SELECT inet_server_port()"))


async def test_the_preferred_one_is_killed_and_comes_back(own_postgres: Server, postgres: Server) -> None:
    preferred, other = own_postgres.address.port, postgres.address.port
    settings = Settings(
        postgres=Postgres(
            url=SecretStr(postgres.url), backup_url=SecretStr(own_postgres.url), regions="east west", connect_timeout=2
        ),
        failover=FailoverSettings(region="west"),
        breaker=BreakerSettings(probe_min=0.2, probe_max=0.4),
    )
    reads = Reads(
        endpoints(settings),
        lambda endpoint: Pool(endpoint, settings.postgres, "test reads"),
        settings,
        clock=SystemClock(),
        metrics=Metrics("intake"),
    )
    assert [await reads.read(port) for _ in range(3)] == [preferred] * 3
    await asyncio.to_thread(own_postgres.kill)
    assert [await reads.read(port) for _ in range(20)] == [other] * 20
    await asyncio.to_thread(own_postgres.start)
    async with asyncio.timeout(30):
        while await reads.read(port) != preferred:  # noqa: ASYNC110 it is the reading that tells
            await asyncio.sleep(0.05)
    await reads.close()
