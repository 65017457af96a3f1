"""Reads from servers in memory: the nearest that answers is read from, and again once it is back."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.metrics import Metrics
from penstock.outcome import Poison
from penstock.reads import Reads
from penstock.sink import Endpoint
from support.clock import ManualClock
from support.endpoints import Server, failover_settings


class FakePool:
    """A pool of one of the servers."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.opened = self.closed = False
        #: What the reads raise, one each.
        self.errors: list[Exception] = []

    async def open(self) -> None:
        self.server.opens += 1
        self.server.answer()
        self.opened = True

    async def ping(self) -> None:
        self.server.answer()

    async def close(self) -> None:
        self.closed = True


@dataclass
class Bench:
    """Reads from two servers, east and west; this process runs in the west."""

    servers: dict[str, Server] = field(default_factory=lambda: {name: Server(name) for name in ("east", "west")})
    clock: ManualClock = field(default_factory=ManualClock)
    pools: list[FakePool] = field(default_factory=list)

    def __post_init__(self) -> None:
        endpoints = [Endpoint(name, name, name) for name in self.servers]
        settings = failover_settings("replica", region="west")
        self.reads = Reads(endpoints, self.connect, settings, clock=self.clock, metrics=Metrics("intake"))

    def connect(self, endpoint: Endpoint) -> FakePool:
        self.pools.append(FakePool(self.servers[endpoint.name]))
        return self.pools[-1]

    async def read(self) -> str:
        return await self.reads.read(self.name)

    @staticmethod
    async def name(pool: FakePool) -> str:
        if pool.errors:
            raise pool.errors.pop()
        pool.server.answer()
        return pool.server.name


async def test_the_own_region_is_read_from_then_the_other_then_the_own_again() -> None:
    bench = Bench()
    assert await bench.read() == "west"
    bench.servers["west"].up = False
    assert await bench.read() == "east"
    opens = bench.servers["west"].opens
    assert [await bench.read() for _ in range(5)] == ["east"] * 5
    assert bench.servers["west"].opens == opens
    bench.servers["west"].up = True
    assert await bench.read() == "east"
    bench.clock.time += 60
    # The probe is sent beside this read, which does not wait for it.
    assert await bench.read() == "east"
    await asyncio.sleep(0)
    assert await bench.read() == "west"
    await bench.reads.close()
    assert all(pool.closed for pool in bench.pools if pool.opened)


async def test_a_lost_connection_is_met_once_on_a_fresh_pool() -> None:
    bench = Bench()
    await bench.read()
    bench.pools[0].errors = [ConnectionLost("reset by peer")]
    assert await bench.read() == "west"
    assert [pool.closed for pool in bench.pools] == [True, False]


async def test_with_none_that_answers_it_says_so_and_then_waits_for_the_probe() -> None:
    bench = Bench()
    for server in bench.servers.values():
        server.up = False
    with pytest.raises(SinkUnavailable, match="west is down; east is down"):
        await bench.read()
    with pytest.raises(SinkUnavailable, match="west is down; east is down"):
        await bench.read()
    bench.servers["east"].up = True
    bench.clock.time += 60
    assert await bench.read() == "east"


async def test_one_that_does_not_answer_in_time_is_away() -> None:
    bench = Bench()

    async def hang(pool: FakePool) -> str:
        if pool.server.name == "west":
            await asyncio.Event().wait()
        return pool.server.name

    assert await bench.reads.read(hang) == "east"


async def test_what_the_reader_itself_raises_is_its_own() -> None:
    bench = Bench()

    async def refuse(_pool: FakePool) -> str:
        raise BatchError(Poison("bad_data", "22P02", "no number"))

    with pytest.raises(BatchError):
        await bench.reads.read(refuse)
    assert await bench.read() == "west"
    assert len(bench.pools) == 1


async def test_many_at_once_share_one_pool_and_one_probe() -> None:
    bench = Bench()
    assert await asyncio.gather(*(bench.read() for _ in range(20))) == ["west"] * 20
    assert len(bench.pools) == 1
    bench.servers["west"].up = False
    assert await asyncio.gather(*(bench.read() for _ in range(20))) == ["east"] * 20
    opens = bench.servers["west"].opens
    bench.clock.time += 60
    assert await asyncio.gather(*(bench.read() for _ in range(20))) == ["east"] * 20
    assert bench.servers["west"].opens == opens + 1
