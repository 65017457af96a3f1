"""One worker process: builds the data path, starts and stops it, answers for its health."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

import structlog

from penstock import cancellation
from penstock.batch import Buffer
from penstock.breaker import Breaker
from penstock.clock import SystemClock
from penstock.codec import Codec
from penstock.consumer import Consumer
from penstock.deadletter import DeadLetters
from penstock.errors import PenstockError, SettingsError, SinkUnavailable
from penstock.failover import Failover
from penstock.fuse import Fuse
from penstock.health import HealthServer
from penstock.link import Link
from penstock.metrics import Metrics
from penstock.pools import PoolWatch
from penstock.publish_link import PublishLink
from penstock.retry import until_it_works
from penstock.settlement import Settler
from penstock.target import Target
from penstock.writer import Writer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine

    from penstock.clock import Clock
    from penstock.settings import Settings
    from penstock.worker import Worker

log = structlog.get_logger(__name__)

#: Seconds of the drain limit that are kept for closing channels and pools.
CLOSING_SECONDS = 5.0
#: What is in the way until broker and sink have answered.
STARTING = "starting: waiting for the broker and the sink"
#: Seconds between two looks at an idle queue with --drain.
DRAIN_LOOK = 0.2


class WorkerProcess:
    """The data path of one worker, and its state as others see it."""

    def __init__(self, worker: Worker, settings: Settings, clock: Clock) -> None:
        endpoints = worker.endpoints(settings)
        if not endpoints:
            raise SettingsError(f"worker {worker.name} has no endpoint for its sink: its settings name no server")
        self.worker = worker
        self.settings = settings
        self.metrics = Metrics(worker.name)
        self.stopping = asyncio.Event()
        self._clock = clock
        self._endpoint = endpoints[0]
        self._fuse = Fuse(settings.fuse)
        self._codec = Codec(worker, settings.limits)
        self.link = Link(worker, settings, Buffer(clock), clock, self.metrics)
        self._publisher = PublishLink(settings.rabbitmq, worker.name)
        self._breaker = Breaker(self._endpoint.name, settings.breaker, clock, self.metrics)
        sink = worker.sink(worker, settings)
        self._pools = PoolWatch(sink, self._endpoint.name, clock)
        self.metrics.pools(self._pools)
        target = Target(sink, self._endpoint, settings, breaker=self._breaker, clock=clock, metrics=self.metrics)
        self.failover = Failover((target,), settings, clock=clock, metrics=self.metrics)
        self.writer = Writer(self.failover, worker.mode, settings, fuse=self._fuse, clock=clock)
        self.consumer = Consumer(
            self._codec,
            self.link,
            self.writer,
            Settler(self.link, DeadLetters(worker, self._publisher, clock), self.metrics),
            fuse=self._fuse,
            settings=settings,
            clock=clock,
            metrics=self.metrics,
        )

    async def run(self, *, give_up: bool) -> None:
        """Wait for the broker and the sink (see `until_it_works`), then carry messages until drained.

        Raises LinkError, TopologyError, SinkUnavailable from the start; whatever dies later ends the process.
        """
        self.consumer.trouble = STARTING
        self.link.paused_for.add("starting")
        await self.link.start(give_up=give_up)
        async with _beside(self.link.run(), "link") as link:
            await _unless_ended(link, self._open_sink(give_up=give_up))
            self.consumer.trouble = ""
            await self.link.resume("starting")
            async with _beside(self._pools.run(), "pools"):
                await _unless_ended(link, self.consumer.run())

    async def _open_sink(self, *, give_up: bool) -> None:
        await until_it_works(
            self.failover.open,
            what=f"sink {self._endpoint.name}",
            errors=SinkUnavailable,
            settings=self.settings.retry,
            clock=self._clock,
            give_up=give_up,
        )

    async def until_empty(self) -> None:
        """Return when the queue is empty and everything received is settled (`--drain`)."""
        while True:
            await self._clock.sleep(DRAIN_LOOK)
            if not await self._quiet():
                continue
            # What is under way arrives before the cancel is answered, so look again after it.
            await self.link.pause("drain")
            if await self._quiet():
                return
            await self.link.resume("drain")

    async def _quiet(self) -> bool:
        if not self.link.connected or self.link.held or self.link.owed or self.consumer.trouble:
            return False
        return await self.link.look() is not None and self.link.depth == 0 and not self.link.held

    async def close(self) -> None:
        """Give everything back; deliveries that are not settled go back to the queue."""
        await self.link.stop()
        await self._publisher.close()
        await self.failover.close()

    def reload(self, settings: Settings) -> None:
        """Take new settings where that is safe while running: batch, prefetch, retry, breaker, fuse, limits."""
        self.settings = settings
        self.writer.settings = settings
        self.failover.reload(settings)
        self.link.settings = settings
        self._fuse.settings = settings.fuse
        self._codec.limits = settings.limits
        self.consumer.reload(settings)

    # What others see.

    def ready(self) -> str | None:
        """None while the worker can do its work, else why it cannot."""
        if self.stopping.is_set():
            return "draining"
        if self.consumer.trouble:
            return self.consumer.trouble
        return None if self.link.consuming or self.link.paused_for else "the broker is away"

    def health(self) -> dict[str, Any]:
        """The state of every part, as JSON can say it. Times in seconds."""
        now = self._clock.now()
        last_write = self.failover.active.last_write
        reason = self.ready()
        return {
            "status": "ok" if reason is None else "waiting",
            "reason": reason,
            "worker": self.worker.name,
            "broker": {
                "connected": self.link.connected,
                "consuming": self.link.consuming,
                "paused_for": sorted(self.link.paused_for),
                "generation": self.link.generation,
                "prefetch": self.link.prefetch,
                "held_messages": self.link.held,
            },
            "queue": {
                "name": self.worker.queue,
                "depth": self.link.depth,
                "oldest_message_age_seconds": self._oldest_age(now),
            },
            "sink": {
                "endpoint": self._endpoint.name,
                "last_write_seconds_ago": None if last_write is None else round(now - last_write, 3),
                "batch_count": self.settings.batch.count,
            },
            "breaker": {"state": self._breaker.state, "last_error": self._breaker.last_error or None},
            "outages": self._breaker.outages.health(),
            **self._pools.health(),
        }

    def _oldest_age(self, now: float) -> float | None:
        """Seconds since the oldest delivery held was published, if its publisher said when."""
        oldest = self.consumer.held[0] if self.consumer.held else self.link.buffer.oldest
        published = oldest.properties.timestamp if oldest is not None else None
        return None if published is None else round(max(0.0, now - published.timestamp()), 3)


async def run_worker(worker: Worker, settings: Settings, *, drain: bool, reload: Callable[[], Settings]) -> int:
    """Run a worker until SIGTERM or SIGINT, or with `drain` until its queue is empty. Returns the exit code.

    SIGHUP calls `reload` for new settings. Raises UsageError for a taken port and TopologyError; with
    `drain` also LinkError and SinkUnavailable when a server does not answer at the start.
    """
    structlog.contextvars.bind_contextvars(worker=worker.name, queue=worker.queue)
    process = WorkerProcess(worker, settings, SystemClock())
    port = worker.port if settings.http.port is None else settings.http.port
    server = HealthServer(process, process.metrics.registry, settings.http.host, port, worker=worker.name)
    await server.start()
    log.info("worker_started", port=server.port, drain=drain)
    try:
        async with _signals(process, reload):
            await _work(process, drain=drain)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await process.close()
        await server.stop()
    log.info("worker_stopped", **process.metrics.summary())
    return 0


async def _work(process: WorkerProcess, *, drain: bool) -> None:
    stopping = asyncio.create_task(process.stopping.wait(), name="stopping")
    working = asyncio.create_task(_run_until_done(process, drain=drain), name="working")
    try:
        await asyncio.wait({stopping, working}, return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            await _drain(process, working)
        if working.done():
            if working.cancelled() and not cancellation.is_ours():
                raise PenstockError("the worker's own task was cancelled from within: this is a bug, please report it")
            await working
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.gather(stopping, working, return_exceptions=True)


async def _run_until_done(process: WorkerProcess, *, drain: bool) -> None:
    running = asyncio.create_task(process.run(give_up=drain), name="running")
    try:
        if drain:
            await _unless_ended(running, process.until_empty())
            await process.consumer.stop()
        await running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _drain(process: WorkerProcess, working: asyncio.Task[None]) -> None:
    """Finish what is held within the drain limit; what is left goes back when the channel is closed."""
    limit = process.settings.limits.drain_seconds - CLOSING_SECONDS
    log.info("draining", held=process.link.held, limit_seconds=limit)
    try:
        async with asyncio.timeout(max(0.0, limit)):
            await process.consumer.stop()
            if process.consumer.trouble != STARTING:  # else nothing was taken yet
                await asyncio.wait({working})
    except TimeoutError:
        log.warning("drain_limit_reached", held=process.link.held)


@asynccontextmanager
async def _beside(action: Coroutine[Any, Any, None], name: str) -> AsyncIterator[asyncio.Task[None]]:
    """Have something done beside the block, and end it with the block."""
    task = asyncio.create_task(action, name=name)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _unless_ended(other: asyncio.Task[None], action: Coroutine[Any, Any, None]) -> None:
    """Do something to its end, unless the other task ends before: what dies on the side must not go unseen."""
    task = asyncio.create_task(action)
    try:
        await asyncio.wait({task, other}, return_when=asyncio.FIRST_COMPLETED)
        await (task if task.done() else other)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


@asynccontextmanager
async def _signals(process: WorkerProcess, reload: Callable[[], Settings]) -> AsyncIterator[None]:
    """SIGTERM and SIGINT drain, SIGHUP reads the settings again; as before at the end."""
    loop = asyncio.get_running_loop()

    def reread() -> None:
        try:
            process.reload(reload())
        except PenstockError as error:
            log.warning("reload_failed", error=str(error))
        else:
            log.info("reloaded", batch_count=process.settings.batch.count, prefetch=process.link.prefetch)
            process.link.renew_consumer()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, process.stopping.set)
    loop.add_signal_handler(signal.SIGHUP, reread)
    try:
        yield
    finally:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            loop.remove_signal_handler(number)
