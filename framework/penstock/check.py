"""What `penstock check` does: connect to every server of a worker and change nothing there."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.broker import close, connect, ensure_topology
from penstock.errors import PenstockError, TopologyMissing
from penstock.topology import topology_of

if TYPE_CHECKING:
    from penstock.settings import Settings
    from penstock.worker import Worker


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One server looked at; `problem` is None when it will do."""

    subject: str
    problem: str | None


async def check_worker(worker: Worker, settings: Settings) -> list[CheckResult]:
    """Connect to the broker and to every endpoint of the sink, and change nothing there."""
    results = [CheckResult(f"{worker.name}: RabbitMQ, queue {worker.queue}", await _check_broker(worker, settings))]
    for endpoint in worker.endpoints(settings):
        sink = worker.sink(worker, settings)
        problem = None
        try:
            async with asyncio.timeout(settings.retry.write_timeout):
                await sink.open(endpoint)
                await sink.ping()
        except (PenstockError, TimeoutError) as error:
            problem = str(error) or f"no answer within {settings.retry.write_timeout:g} s"
        finally:
            await sink.close()
        results.append(CheckResult(f"{worker.name}: sink {endpoint.name}", problem))
    return results


async def _check_broker(worker: Worker, settings: Settings) -> str | None:
    try:
        connection = await connect(settings.rabbitmq, f"{worker.name} check")
        try:
            topology = topology_of(worker, settings.queue)
            if settings.queue.topology == "declare":
                with suppress(TopologyMissing):  # it is created at the start
                    await ensure_topology(connection, topology, "check")
                    await ensure_topology(connection, topology, "compare")
            else:
                await ensure_topology(connection, topology, settings.queue.topology)
        finally:
            await close(connection)
    except PenstockError as error:
        return str(error)
    return None
