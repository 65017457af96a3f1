"""What `penstock check` does: connect to every server of a worker and change nothing there."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.broker import close, connect, ensure_topology
from penstock.endpoints import check_sink, endpoints_of
from penstock.errors import PenstockError, TopologyMissing, UsageError
from penstock.replicas import described, problem_of
from penstock.sink import Replicated
from penstock.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.settings import Settings
    from penstock.sink import Endpoint, ReplicaState, Sink
    from penstock.worker import Worker


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One server looked at; `problem` is None when it will do, and `note` what there is to know all the same."""

    subject: str
    problem: str | None
    note: str = ""


def sink_of(worker: Worker, settings: Settings) -> tuple[Sink, Sequence[Endpoint]]:
    """Return the worker's sink, unopened, and its endpoints in order: one at least. Raises UsageError, naming it."""
    try:
        endpoints = endpoints_of(worker, settings)
        sink = worker.sink(worker, settings)
        check_sink(worker, settings, sink, endpoints)
    except PenstockError:
        raise
    except Exception as error:
        raise UsageError(f"worker {worker.name}: its sink cannot be made: {_reason(error)}") from error
    return sink, endpoints


async def check_worker(worker: Worker, settings: Settings) -> list[CheckResult]:
    """Connect to the broker and to every endpoint of the sink, and change nothing there."""
    results = [await _check_broker(worker, settings)]
    try:
        sink, endpoints = sink_of(worker, settings)
    except PenstockError as error:
        return [*results, CheckResult(f"{worker.name}: sink", str(error))]
    replicas = len(endpoints) > 1 and settings.failover.mode == "replica"
    states: dict[str, ReplicaState] = {}
    for endpoint in endpoints:
        problem = await _check_endpoint(sink, endpoint, settings.retry.write_timeout, states if replicas else None)
        note = described(states[endpoint.name]) if endpoint.name in states else ""
        results.append(CheckResult(f"{worker.name}: sink {endpoint.name}", problem, note))
    if problem := problem_of(states):
        results.append(CheckResult(f"{worker.name}: failover", problem))
    return results


async def _check_endpoint(
    sink: Sink, endpoint: Endpoint, seconds: float, states: dict[str, ReplicaState] | None
) -> str | None:
    """What is wrong with an endpoint; what it says of its part in replication is entered in `states`, if asked for."""
    try:
        async with asyncio.timeout(seconds):
            await sink.open(endpoint)
            await sink.ping()
            if states is not None and isinstance(sink, Replicated):
                states[endpoint.name] = await sink.replica_state()
    except TimeoutError:
        return f"no answer within {seconds:g} s"
    except PenstockError as error:
        return str(error)
    except Exception as error:  # noqa: BLE001 - the sink of another package; what it raises is the answer
        return _reason(error)
    finally:
        await sink.close()
    return None


async def _check_broker(worker: Worker, settings: Settings) -> CheckResult:
    subject = f"{worker.name}: RabbitMQ, queue {worker.queue}"
    try:
        connection = await connect(settings.rabbitmq, f"{worker.name} check")
        try:
            topology = topology_of(worker, settings)
            if settings.queue.topology == "declare":
                await ensure_topology(connection, topology, "check")
                await ensure_topology(connection, topology, "compare")
            else:
                await ensure_topology(connection, topology, settings.queue.topology)
        finally:
            await close(connection)
    except TopologyMissing as error:
        if settings.queue.topology == "declare":
            return CheckResult(subject, None, "what is not there of its queues will be made at the start")
        return CheckResult(subject, str(error))
    except PenstockError as error:
        return CheckResult(subject, str(error))
    return CheckResult(subject, None)


def _reason(error: Exception) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())
