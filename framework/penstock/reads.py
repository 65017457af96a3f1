"""Reads from whichever server of a store answers: the nearest first, standbys among them, by the writers' own rules."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import structlog

from penstock.breaker import Breaker
from penstock.endpoints import is_near
from penstock.errors import ConnectionLost, SinkUnavailable
from penstock.failover import TRIES, together
from penstock.target import outages_only

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.clock import Clock
    from penstock.metrics import Metrics
    from penstock.settings import Settings
    from penstock.sink import Endpoint

log = structlog.get_logger(__name__)


class Connections(Protocol):
    """A store's pool of connections to one endpoint. It is opened once and closed once."""

    async def open(self) -> None:
        """Connect. Raises SinkUnavailable."""

    async def ping(self) -> None:
        """Answer in a round trip. Raises SinkUnavailable."""

    async def close(self) -> None:
        """Give back every connection. Never raises."""


Pool = TypeVar("Pool", bound=Connections)
T = TypeVar("T")


class Reads(Generic[Pool]):
    """Reads from the endpoints of a store, those in failover.region first. `connect` makes a pool, not yet open."""

    def __init__(
        self,
        endpoints: Sequence[Endpoint],
        connect: Callable[[Endpoint], Pool],
        settings: Settings,
        *,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        nearest = sorted(endpoints, key=lambda endpoint: not is_near(endpoint, settings))
        breakers = [Breaker(endpoint.name, settings.breaker, clock, metrics) for endpoint in nearest]
        seconds = settings.retry.write_timeout
        self._places = [
            _Place(endpoint, breaker, connect, seconds) for endpoint, breaker in zip(nearest, breakers, strict=True)
        ]

    async def read(self, action: Callable[[Pool], Awaitable[T]]) -> T:
        """What `action` reads from the first endpoint that answers, within write_timeout seconds a try.

        It may be called again at another. Raises SinkUnavailable where none answers, and what `action` raises.
        """
        errors: list[SinkUnavailable] = []
        away = [place for place in self._places if place.breaker.state == "open"]
        for place in away:
            place.probe_beside()
        for place in self._places:
            if place not in away:
                try:
                    return await place.read(action)
                except SinkUnavailable as error:
                    errors.append(error)
        for place in away:
            try:
                await place.probed()
                return await place.read(action)
            except SinkUnavailable as error:
                errors.append(error)
        raise together(errors)

    async def close(self) -> None:
        """Give back every connection."""
        for place in self._places:
            await place.close()


class _Place(Generic[Pool]):
    """One endpoint: its pool and its breaker."""

    def __init__(
        self, endpoint: Endpoint, breaker: Breaker, connect: Callable[[Endpoint], Pool], seconds: float
    ) -> None:
        self.breaker = breaker
        self._endpoint = endpoint
        self._connect = connect
        self._seconds = seconds
        self._pool: Pool | None = None
        self._opening = asyncio.Lock()
        self._probe: asyncio.Task[None] | None = None

    async def read(self, action: Callable[[Pool], Awaitable[T]]) -> T:
        """Read; if that fails, once more on fresh connections. Raises SinkUnavailable once its breaker is open."""
        for failures in range(1, TRIES + 1):
            pool = None
            try:
                pool = await self._opened()
                async with asyncio.timeout(self._seconds):
                    found = await action(pool)
            except SinkUnavailable as error:
                await self._failed(error, pool, failures)
            except TimeoutError as error:
                lost = ConnectionLost(f"{self._endpoint.name} did not answer within {self._seconds:g} s")
                lost.__cause__ = error
                await self._failed(lost, pool, failures)
            else:
                self.breaker.success()
                return found
        raise AssertionError("the last failure is raised")

    def probe_beside(self) -> None:
        """Have the one probe sent, if it is due, while others are read from."""
        if self.breaker.probe_due_in() == 0 and (self._probe is None or self._probe.done()):
            self._probe = asyncio.create_task(self._send_probe(), name=f"probe {self._endpoint.name}")

    async def probed(self) -> None:
        """Wait for the probe under way. Raises SinkUnavailable while the breaker is open."""
        if self._probe is not None:
            await asyncio.wait({self._probe})
        if self.breaker.state == "open":
            raise SinkUnavailable(self.breaker.last_error)

    async def close(self) -> None:
        """End the probe and give back the connections."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.gather(self._probe, return_exceptions=True)
        await self._discard(self._pool)

    async def _send_probe(self) -> None:
        self.breaker.probing()
        pool = None
        try:
            pool = await self._opened()
            async with outages_only(self._endpoint.name, self._seconds):
                await pool.ping()
        except SinkUnavailable as error:
            log.info("probe_failed", endpoint=self._endpoint.name, error=str(error))
            self.breaker.trip(error)
            await self._discard(pool)

    async def _opened(self) -> Pool:
        async with self._opening:
            if self._pool is None:
                pool = self._connect(self._endpoint)
                async with outages_only(self._endpoint.name, self._seconds):
                    await pool.open()
                self._pool = pool
            return self._pool

    async def _failed(self, error: SinkUnavailable, pool: Pool | None, failures: int) -> None:
        log.warning("read_failed", endpoint=self._endpoint.name, error=str(error), failures=failures)
        self.breaker.failure(error)
        await self._discard(pool)
        if failures == TRIES or self.breaker.state == "open":
            self.breaker.trip(error)
            raise error

    async def _discard(self, pool: Pool | None) -> None:
        """Give back a pool, unless another has taken its place meanwhile."""
        if pool is not None:
            if self._pool is pool:
                self._pool = None
            await pool.close()
