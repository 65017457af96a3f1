"""A sink in memory that shows a pool which the tests set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from penstock.pools import PoolState, ServerState, StandbyLag
from penstock.testing import MemorySink

POOL = PoolState(
    limit=20,
    setting="db.pool_max",
    in_use=1,
    idle=2,
    oldest_seconds=75.5,
    waiting=3,
    lent=10,
    acquire_seconds=0.25,
    waits=0,
)
SERVER = ServerState(
    read_seconds=0.004,
    connections={"shop": 6, "discogs-table": 3},
    limit=100,
    standbys={"near": StandbyLag(0.0, 0), "far": StandbyLag(None, 4096)},
)


class PooledSink(MemorySink):
    """`pool` None is a closed pool; `server` may be an error to raise."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: PoolState | None = POOL
        self.server: ServerState | BaseException = SERVER
        self.asked = 0

    def pool_is(self, **changes: Any) -> None:
        self.pool = replace(POOL, **changes)

    def pool_state(self) -> PoolState | None:
        return self.pool

    async def server_state(self) -> ServerState:
        self.asked += 1
        if isinstance(self.server, BaseException):
            raise self.server
        return self.server
