"""A worker process from its start to its end: signals, draining, and what is closed in which order."""

from __future__ import annotations

import asyncio
import signal
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import structlog

from penstock import cancellation
from penstock.clock import SystemClock
from penstock.errors import LinkError, PenstockError
from penstock.health import HealthServer
from penstock.process import CLOSING_SECONDS, STARTING, WorkerProcess
from penstock.retry_later import waiting
from penstock.waiting import unless_ended

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from penstock.settings import Settings
    from penstock.worker import Worker

log = structlog.get_logger(__name__)


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
        if drain:
            await _say_what_waits(worker, settings)
    finally:
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSING_SECONDS):
                await process.close()
        await server.stop()
    log.info("worker_stopped", **process.metrics.summary())
    return 0


async def _say_what_waits(worker: Worker, settings: Settings) -> None:
    """What waits in a retry queue is not in the work queue, for whose end `--drain` waits: say how much that is."""
    try:
        if records := await waiting(worker, settings):
            log.warning("retries_wait", records=records)
    except LinkError as error:
        log.warning("retries_not_seen", error=str(error))


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
            await unless_ended(running, process.until_empty())
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
            if process.spill is not None:
                process.spill.stop()
            await process.consumer.stop()
            if process.consumer.trouble != STARTING:  # else nothing was taken yet
                await asyncio.wait({working})
    except TimeoutError:
        log.warning("drain_limit_reached", held=process.link.held)


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
