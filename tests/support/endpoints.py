"""Servers in memory that several sinks write to, that fail and come back, and that are promoted."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import orjson

from penstock.codec import Codec
from penstock.deadletter.sender import DeadLetters
from penstock.endpoints import make_failover
from penstock.errors import LinkError, SinkUnavailable
from penstock.handover import Handover
from penstock.kept import message_of
from penstock.metrics import Metrics
from penstock.outcome import WRITTEN
from penstock.record import Record
from penstock.settings import BreakerSettings, FailoverSettings, RetrySettings, Settings
from penstock.sink import Endpoint, ReplicaState
from penstock.testing import MemorySink, make_delivery
from penstock.worker import Mode, Worker
from support.clock import ManualClock
from support.handing import Retries

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from penstock.delivery import Delivery
    from penstock.failover import Failover
    from penstock.message import Message
    from penstock.outcome import Outcome, Refusal
    from penstock.record import Batch


async def nothing() -> None:
    pass


def nothing_refused(_record: Record) -> Refusal | None:
    return None


class Server:
    """A database in memory. While it is `up` it answers; `writable`, `timeline` and `synchronous` as ReplicaState."""

    def __init__(self, name: str, mode: Mode = "upsert") -> None:
        self.name = name
        self.up = True
        self.writable = True
        self.timeline = 1
        self.synchronous = True
        self.refuses: Callable[[Record], Refusal | None] = nothing_refused
        #: What a write waits for before it is done, and a close.
        self.before_write: Callable[[], Awaitable[None]] = nothing
        self.before_close: Callable[[], Awaitable[None]] = nothing
        #: What it holds, whichever sink has written it.
        self.store = MemorySink(mode, self._refusal)
        self.taken: list[Message] = []
        self.opens = 0
        self.writes = 0
        self.warmed = 0
        self.locked = False
        #: The timeline it told of last.
        self.told = 0

    def _refusal(self, record: Record) -> Refusal | None:
        return self.refuses(record)

    def answer(self) -> None:
        if not self.up:
            raise SinkUnavailable(f"{self.name} is down")

    @property
    def rows(self) -> dict[Any, Any]:
        """The rows it holds, by natural key."""
        return {key: record.row for key, record in self.store.states.items()}

    @property
    def keys(self) -> list[str]:
        """The keys of the events it holds, in order."""
        return [event.key for event in self.store.events]


class ServedSink:
    """A sink of one of several servers, which its endpoint's URL names."""

    def __init__(self, servers: dict[str, Server]) -> None:
        self._servers = servers
        self._endpoint: Endpoint | None = None

    @property
    def server(self) -> Server:
        if self._endpoint is None:
            raise SinkUnavailable("the sink is not open")
        server = self._servers[self._endpoint.url]
        server.answer()
        return server

    async def open(self, endpoint: Endpoint) -> None:
        self._servers[endpoint.url].opens += 1
        self._servers[endpoint.url].answer()
        self._endpoint = endpoint

    async def prepare(self) -> None:
        self._writable()

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        server = self._writable()
        server.store.opened = self._endpoint
        await server.before_write()
        outcomes = await server.store.write(batch)
        server.writes += 1
        if self._endpoint is not None and self._endpoint.records_taken:
            both = zip(batch.records, outcomes, strict=True)
            server.taken += [message_of(record) for record, outcome in both if outcome == WRITTEN]
        return outcomes

    async def ping(self) -> None:
        self.server.answer()

    async def warm(self) -> None:
        self.server.warmed += 1

    async def close(self) -> None:
        if self._endpoint is not None:
            await self._servers[self._endpoint.url].before_close()
        self._endpoint = None

    async def replica_state(self) -> ReplicaState:
        server = self.server
        server.told = server.timeline
        return ReplicaState(server.writable, server.timeline, server.synchronous)

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        server = self.server
        if server.locked:
            raise SinkUnavailable("another process reconciles")
        server.locked = True
        try:
            page = server.taken[:limit]
            yield page
            self.server.answer()
            del server.taken[: len(page)]
        finally:
            server.locked = False

    def _writable(self) -> Server:
        server = self.server
        if not server.writable:
            raise SinkUnavailable(f"{server.name} is read-only")
        return server


class Letters(DeadLetters):
    """A DLQ that takes letters unless `away` says why not, and `away_after` so many the broker is away."""

    def __init__(self) -> None:
        self.letters: list[tuple[Delivery, Refusal, str | None]] = []
        self.away: Exception | None = None
        self.away_after: int | None = None

    async def publish(self, delivery: Delivery, refusal: Refusal, key: str | None, _at: float) -> None:
        if self.away is not None:
            raise self.away
        if len(self.letters) == self.away_after:
            raise LinkError("the broker is away")
        self.letters.append((delivery, refusal, key))


def failover_settings(mode: str, **changes: Any) -> Settings:
    """Settings with several endpoints, and short times; `changes` are of the section failover."""
    return Settings(
        failover=FailoverSettings.model_validate({"mode": mode, "return_after": 3, "probe_every": 5, **changes}),
        breaker=BreakerSettings(probe_min=30, probe_max=60, failures=5),
        retry=RetrySettings(write_timeout=0.5),
    )


class Site:
    """Servers, and a worker's failover over them, on a clock moved by hand."""

    def __init__(self, settings: Settings, *servers: Server, mode: Mode = "upsert", regions: str = "") -> None:
        self.servers = {server.name: server for server in servers}
        self.clock = ManualClock()
        self.letters = Letters()
        self.retries = Retries()
        self.settings = settings
        names = [*self.servers]
        places = dict(zip(names, regions.split() or [""] * len(names), strict=True))
        self.worker = Worker(
            name="orders",
            model=dict[str, Any],
            natural_key=lambda value: value["id"],
            mapping=dict,
            sink=lambda *_: ServedSink(self.servers),
            endpoints=lambda _: [Endpoint(name, name, places[name]) for name in names],
            mode=mode,
            version=lambda value: value.get("version"),
        )
        self.start()

    def start(self) -> None:
        """A process of the worker, in place of the one before, if there was one."""
        self.metrics = Metrics("orders")
        self.codec = Codec(self.worker, self.settings.limits)
        self.failover: Failover = make_failover(
            self.worker,
            self.settings,
            codec=self.codec,
            handover=Handover(self.letters, self.retries, self.metrics),
            clock=self.clock,
            metrics=self.metrics,
        )

    @property
    def active(self) -> str:
        return self.failover.active.name

    def record(self, name: str, **fields: Any) -> Record:
        """The record of a message {"id": name, …}."""
        found = self.codec.decode(make_delivery(orjson.dumps({"id": name, **fields})))
        assert isinstance(found, Record)
        return found

    def records(self, *names: str) -> list[Record]:
        return [self.record(name, version=1) for name in names]

    async def look(self, times: int = 1) -> None:
        """Each endpoint is looked at, every probe_every seconds."""
        for _ in range(times):
            self.clock.time += self.settings.failover.probe_every
            for target in self.failover.targets:
                await self.failover.look(target)

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"penstock_{name}", {"worker": "orders", **labels})
