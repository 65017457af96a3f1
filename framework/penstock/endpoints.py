"""The servers of a worker's sink, as failover.mode has them: in which order, with what role, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import structlog

from penstock.breaker import Breaker
from penstock.errors import SettingsError, SinkUnavailable
from penstock.failover import Failover
from penstock.reconcile import Reconciler
from penstock.replicas import Replicas
from penstock.sink import Reconcilable, Replicated
from penstock.target import Target, admit_any, outages_only
from penstock.worker import may_be_late

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AsyncExitStack

    from penstock.clock import Clock
    from penstock.codec import Codec
    from penstock.handover import Handover
    from penstock.metrics import Metrics
    from penstock.settings import Settings
    from penstock.sink import Endpoint, Sink
    from penstock.worker import Worker

log = structlog.get_logger(__name__)

_MODE = "failover.mode (PENSTOCK_FAILOVER__MODE)"


def endpoints_of(worker: Worker, settings: Settings) -> tuple[Endpoint, ...]:
    """The worker's endpoints in order of preference, one at least. Raises SettingsError for a set that cannot be used.

    `replica`: those of failover.region first. `independent`: as written whatever their region, for all
    workers must have the same primary; the backup keeps what it takes.
    """
    written = tuple(worker.endpoints(settings))
    if not written:
        raise SettingsError(f"worker {worker.name} has no endpoint for its sink: its settings name no server")
    if len(written) == 1:
        return written
    names = [endpoint.name for endpoint in written]
    if len(set(names)) < len(names):
        raise SettingsError(f"worker {worker.name}: two endpoints of its sink are the same ({', '.join(names)})")
    match settings.failover.mode:
        case None:
            raise SettingsError(
                f"worker {worker.name} has a backup for its sink, and {_MODE} is not set: set it to replica, where the "
                "backup is a synchronous standby that somebody promotes, or to independent, where it is a database of "
                "its own"
            )
        case "replica":
            return tuple(sorted(written, key=lambda endpoint: not is_near(endpoint, settings)))
        case "independent":
            if len(written) > 2:  # noqa: PLR2004 a primary and its backup
                raise SettingsError(f"worker {worker.name}: {_MODE} independent takes one backup; leave the others out")
            _check_repeatable(worker)
            return written[0], replace(written[1], records_taken=True)


def check_sink(worker: Worker, settings: Settings, sink: Sink, endpoints: Sequence[Endpoint]) -> None:
    """Raise SettingsError where a sink with these endpoints is not made for failover.mode."""
    mode = settings.failover.mode
    needed = {"replica": Replicated, "independent": Reconcilable}.get(mode or "")
    if len(endpoints) > 1 and needed is not None and not isinstance(sink, needed):
        raise SettingsError(
            f"worker {worker.name}: its sink ({type(sink).__name__}) cannot do {_MODE} {mode}: "
            "use the other mode, or leave the backup out"
        )


async def open_each(
    worker: Worker, settings: Settings, stack: AsyncExitStack
) -> tuple[list[tuple[Endpoint, Sink]], list[SinkUnavailable]]:
    """Open the worker's sink at each of its endpoints, for a command: those that answer, and why others do not.

    `stack` closes them. Prepares nothing. Raises SettingsError.
    """
    found: list[tuple[Endpoint, Sink]] = []
    failures: list[SinkUnavailable] = []
    for endpoint in endpoints_of(worker, settings):
        sink = worker.sink(worker, settings)
        stack.push_async_callback(sink.close)
        try:
            async with outages_only(endpoint.name, settings.retry.write_timeout):
                await sink.open(endpoint)
                await sink.ping()
        except SinkUnavailable as error:
            failures.append(error)
        else:
            found.append((endpoint, sink))
    return found, failures


def is_near(endpoint: Endpoint, settings: Settings) -> bool:
    """Whether an endpoint stands where this process runs, as far as both were said."""
    return bool(settings.failover.region) and endpoint.region == settings.failover.region


def make_failover(
    worker: Worker,
    settings: Settings,
    *,
    codec: Codec,
    handover: Handover,
    clock: Clock,
    metrics: Metrics,
) -> Failover:
    """The worker's endpoints, each with a sink, a breaker and a look at its pool of its own. Raises SettingsError."""
    endpoints = endpoints_of(worker, settings)
    replicas = Replicas() if len(endpoints) > 1 and settings.failover.mode == "replica" else None
    if len(endpoints) == 1 and settings.failover.mode is not None:
        log.warning("failover_without_backup", endpoint=endpoints[0].name, mode=settings.failover.mode)
    targets: list[Target] = []
    for endpoint in endpoints:
        sink = worker.sink(worker, settings)
        check_sink(worker, settings, sink, endpoints)
        breaker = Breaker(endpoint.name, settings.breaker, clock, metrics)
        admit = admit_any if replicas is None else replicas.admit
        targets.append(Target(sink, endpoint, settings, breaker=breaker, clock=clock, metrics=metrics, admit=admit))
    source = worker.sink(worker, settings)
    reconciler = None
    if len(endpoints) > 1 and replicas is None and isinstance(source, Reconcilable):
        reconciler = Reconciler(
            worker,
            source,
            (targets[0], targets[1]),
            codec=codec,
            handover=handover,
            settings=settings,
            clock=clock,
            metrics=metrics,
        )
    return Failover(targets, settings, clock=clock, metrics=metrics, replicas=replicas, reconciler=reconciler)


def _check_repeatable(worker: Worker) -> None:
    """Raise SettingsError for a worker whose records, brought to the primary later, could undo newer ones."""
    if not may_be_late(worker):
        raise SettingsError(
            f"worker {worker.name}: {_MODE} independent needs a worker of mode append, or records with a version: what "
            "the backup took comes to the primary later, and nothing else tells whether it is still the newest. Give "
            "the worker a version (Worker.version, or a field version in its model), or use replica"
        )
