"""The health server over real HTTP."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client import CollectorRegistry, Counter

from penstock.errors import UsageError
from penstock.health import HealthServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


class Process:
    """A process whose state the tests set."""

    def __init__(self) -> None:
        self.reason: str | None = None

    def ready(self) -> str | None:
        return self.reason

    def health(self) -> dict[str, Any]:
        return {"broker": "connected", "last_write": None}


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
async def client(process: Process) -> AsyncIterator[httpx.AsyncClient]:
    registry = CollectorRegistry()
    Counter("penstock_things_total", "Things", registry=registry).inc(3)
    server = HealthServer(process, registry, "127.0.0.1", 0, "discogs-table")
    await server.start()
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", trust_env=False) as client:
        yield client
    await server.stop()


async def test_livez_answers_in_an_outage(client: httpx.AsyncClient, process: Process) -> None:
    process.reason = "RabbitMQ is away"
    answer = await client.get("/livez")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


async def test_readyz_follows_the_process(client: httpx.AsyncClient, process: Process) -> None:
    assert (await client.get("/readyz")).status_code == 200
    process.reason = "RabbitMQ is away"
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "unavailable", "reason": "RabbitMQ is away"})
    process.reason = None
    assert (await client.get("/readyz")).json() == {"status": "ok"}


async def test_health_metrics_and_version(client: httpx.AsyncClient) -> None:
    assert (await client.get("/health")).json() == {"broker": "connected", "last_write": None}
    metrics = await client.get("/metrics")
    assert "penstock_things_total 3.0" in metrics.text
    assert metrics.headers["content-type"].startswith("text/plain; version=")
    version = (await client.get("/version")).json()
    assert set(version) == {"name", "version", "python", "worker"}
    assert (version["name"], version["worker"]) == ("penstock", "discogs-table")


async def test_what_is_not_there_or_not_a_get_is_refused_in_json(client: httpx.AsyncClient) -> None:
    missing = await client.get("/nothing")
    assert (missing.status_code, missing.json()) == (404, {"error": "Not Found"})
    posted = await client.post("/livez")
    assert (posted.status_code, posted.json()) == (405, {"error": "Method Not Allowed"})


async def test_a_taken_port_says_what_to_do(process: Process) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        server = HealthServer(process, CollectorRegistry(), "127.0.0.1", port)
        with pytest.raises(UsageError) as caught:
            await server.start()
        await server.stop()
    expected = f"127.0.0.1:{port} is taken: set PENSTOCK_HTTP__PORT to another port, or 0 for any free one"
    assert expected in str(caught.value)


async def test_an_address_of_another_host_is_named(process: Process) -> None:
    server = HealthServer(process, CollectorRegistry(), "192.0.2.1", 0)
    with pytest.raises(UsageError, match=r"192\.0\.2\.1:0 is no address of this host .*PENSTOCK_HTTP__HOST"):
        await server.start()


async def test_it_leaves_signals_alone_and_no_task_behind(process: Process) -> None:
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    tasks = asyncio.all_tasks()
    server = HealthServer(process, CollectorRegistry(), "127.0.0.1", 0)
    await server.start()
    async with httpx.AsyncClient(trust_env=False) as client:
        assert (await client.get(f"http://127.0.0.1:{server.port}/livez")).status_code == 200
        # Its connection is kept alive: stopping must not wait for the client to go.
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
        await server.stop()
        with pytest.raises(httpx.TransportError):
            await client.get(f"http://127.0.0.1:{server.port}/livez")
    assert asyncio.all_tasks() == tasks
    await server.stop()


async def test_stopped_at_once_it_is_stopped(process: Process) -> None:
    server = HealthServer(process, CollectorRegistry(), "127.0.0.1", 0)
    await server.start()
    await server.stop()
    with socket.create_server(("127.0.0.1", server.port)):
        pass
