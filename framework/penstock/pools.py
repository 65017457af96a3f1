"""What a sink's pool and its server look like now, for /metrics and /health, and a warning before either runs short.

The core knows no database: a sink that can tell implements `Pooled` beside `Sink`, and is asked.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import structlog

from penstock import cancellation

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.clock import Clock
    from penstock.sink import Sink

log = structlog.get_logger(__name__)

#: How often the server is asked, in seconds.
LOOK_EVERY = 30.0
#: The share of the server's connections in use from which on the worker warns.
SHARE_WARNED = 0.8
#: With a pool of one, a look and the sink's own work wait for each other: that is no shortage.
OWN_WAITS = 2
#: The same warning is not repeated sooner, in seconds.
WARN_EVERY = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolState:
    """A pool at this moment; None is what its driver does not tell. The last three count from its opening on."""

    #: Connections there may be, and the setting that says so.
    limit: int
    setting: str
    in_use: int
    idle: int | None
    oldest_seconds: float | None
    #: Users who wait for a connection now.
    waiting: int
    #: Connections lent; the seconds their users waited for them; how often all were in use already.
    lent: int
    acquire_seconds: float
    waits: int

    @property
    def open(self) -> int | None:
        """All connections there are."""
        return None if self.idle is None else self.idle + self.in_use


@dataclass(frozen=True, slots=True)
class StandbyLag:
    """How far a standby's replay is behind its primary: in seconds (None: not known) and in bytes of log."""

    seconds: float | None
    byte_size: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerState:
    """The server's side: seconds one read took; where it tells, clients' connections by application and the limit.

    `standbys`: those that follow it, by name, as far as our role may see them.
    """

    read_seconds: float
    connections: Mapping[str, int]
    limit: int | None
    standbys: Mapping[str, StandbyLag] = field(default_factory=dict)

    @property
    def share(self) -> float | None:
        """How much of the limit is in use, by all applications together: 0 to 1."""
        return sum(self.connections.values()) / self.limit if self.limit else None


@runtime_checkable
class Pooled(Protocol):
    """A sink that shows its pool. Both may be called at any time, beside whatever the sink is doing."""

    def pool_state(self) -> PoolState | None:
        """The pool as it is now; None while the sink is closed."""

    async def server_state(self) -> ServerState:
        """Read once from the server, within a time limit of its own. Raises SinkUnavailable."""


class Tally:
    """Counts for a pool how its connections are lent."""

    def __init__(self, clock: Clock) -> None:
        self.waiting = 0
        self.lent = 0
        self.seconds = 0.0
        self.waits = 0
        self._clock = clock

    @contextmanager
    def acquiring(self, *, full: bool) -> Iterator[None]:
        """Around the wait for one connection; `full` is whether all of them are in use."""
        started = self._clock.monotonic()
        self.waiting += 1
        self.waits += full
        try:
            yield
            self.lent += 1
        finally:
            self.waiting -= 1
            # Those who gave up waited too.
            self.seconds += self._clock.monotonic() - started


class PoolWatch:
    """Looks at a sink's pool and server; tells nothing where the sink is not `Pooled`."""

    def __init__(self, sink: Sink, endpoint: str, clock: Clock) -> None:
        #: What the server said last; None when it did not answer.
        self.server: ServerState | None = None
        self.endpoint = endpoint
        self._pooled = sink if isinstance(sink, Pooled) else None
        self._clock = clock
        self._waits = 0
        self._quiet_until: dict[str, float] = {}

    @property
    def pool(self) -> PoolState | None:
        """The pool now; None while there is none."""
        return None if self._pooled is None else self._pooled.pool_state()

    async def run(self) -> None:
        """Look every LOOK_EVERY seconds, until cancelled."""
        while self._pooled is not None:
            await self.look()
            await self._clock.sleep(LOOK_EVERY)

    async def look(self) -> None:
        """Ask the server, and warn where connections run short. Raises nothing: the writer is who meets an outage."""
        if (pool := self.pool) is None or self._pooled is None:
            self.server = None
            return
        try:
            self.server = await self._pooled.server_state()
        except (Exception, asyncio.CancelledError) as error:
            # To look on must never stop the worker.
            if cancellation.is_ours():
                raise
            self.server = None
            log.debug("server_not_seen", endpoint=self.endpoint, error=str(error))
        self._warn_of_pool(pool)
        if self.server is not None:
            self._warn_of_server(self.server)

    def health(self) -> dict[str, Any]:
        """For /health: pool and server; None where not known. Times in seconds."""
        pool, server = self.pool, self.server
        return {
            "pool": pool
            and {
                "open": pool.open,
                "idle": pool.idle,
                "in_use": pool.in_use,
                "waiting": pool.waiting,
                "limit": pool.limit,
                "oldest_seconds": None if pool.oldest_seconds is None else round(pool.oldest_seconds, 1),
            },
            "server": server
            and {
                "read_seconds": round(server.read_seconds, 6),
                "connections": dict(server.connections),
                "connections_limit": server.limit,
                "connections_share": None if server.share is None else round(server.share, 3),
                "standbys": {
                    name: {"lag_seconds": lag.seconds, "lag_bytes": lag.byte_size}
                    for name, lag in server.standbys.items()
                },
            },
        }

    def _warn_of_pool(self, pool: PoolState) -> None:
        # A fresh pool counts from 0 again.
        more = pool.waits - self._waits if pool.waits >= self._waits else pool.waits
        self._waits = pool.waits
        if more > OWN_WAITS and self._may_warn("pool"):
            advice = f"raise {pool.setting}"
            log.warning("pool_runs_short", endpoint=self.endpoint, waits=more, limit=pool.limit, advice=advice)

    def _warn_of_server(self, server: ServerState) -> None:
        if server.share is not None and server.share >= SHARE_WARNED and self._may_warn("server"):
            log.warning(
                "server_connections_run_short",
                endpoint=self.endpoint,
                connections=dict(server.connections),
                limit=server.limit,
                advice="raise max_connections, or lower the pools of the applications that hold the most",
            )

    def _may_warn(self, what: str) -> bool:
        now = self._clock.monotonic()
        if now < self._quiet_until.get(what, now):
            return False
        self._quiet_until[what] = now + WARN_EVERY
        return True
