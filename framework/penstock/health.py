"""The HTTP server that says how the process is: /livez /readyz /health /metrics /version."""

from __future__ import annotations

import asyncio
import errno
import os
import platform
import socket
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Protocol

import orjson
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route

from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.requests import Request

#: Seconds an answer under way gets when the server stops.
_GRACE = 1


class Status(Protocol):
    """What the server asks of the process it speaks for. Both answer at once, without waiting."""

    def ready(self) -> str | None:
        """None when the process can do its work, else the reason why not, in one line."""

    def health(self) -> dict[str, Any]:
        """Everything worth knowing, as JSON holds it; no secrets."""


class HealthServer:
    """Serves a `Status` and a registry over HTTP in the running event loop.

    `port` 0 takes any free one; after `start` the attribute `port` says which. `worker` is named by /version.
    """

    def __init__(self, status: Status, registry: CollectorRegistry, host: str, port: int, worker: str = "") -> None:
        self.host = host
        self.port = port
        self._worker = worker
        config = uvicorn.Config(
            _application(status, registry, worker),
            access_log=False,
            lifespan="off",
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=_GRACE,
            ws="none",
        )
        self._server = _Server(config)
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Bind and serve. Raises UsageError where host and port cannot be had."""
        listener = _listen(self.host, self.port, self._worker)
        self.port = listener.getsockname()[1]
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="health server")

    async def stop(self) -> None:
        """Finish the answers under way and close; harmless when not started, or twice."""
        serving, self._serving = self._serving, None
        if serving is not None:
            self._server.should_exit = True
            await serving


class _Server(uvicorn.Server):
    """A uvicorn server that leaves the process's signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _listen(host: str, port: int, worker: str) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family)
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                problem = "is taken: set PENSTOCK_HTTP__PORT to another port, or 0 for any free one"
                if worker:
                    problem += f"; for this worker alone: http.port under workers: {worker}: in the file"
            case errno.EACCES:
                problem = "needs more rights than this user has: set PENSTOCK_HTTP__PORT to a port above 1023"
            case _:
                reason = os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror
                problem = f"is no address of this host ({reason}): set PENSTOCK_HTTP__HOST to one"
        address = f"[{host}]:{port}" if family is socket.AF_INET6 else f"{host}:{port}"
        raise UsageError(f"the HTTP address {address} {problem}") from error


def _application(status: Status, registry: CollectorRegistry, worker: str) -> Starlette:
    about = {
        "name": "penstock",
        "version": version("penstock"),
        "python": platform.python_version(),
        "worker": worker,
    }

    async def livez(_request: Request) -> Response:
        return _json({"status": "ok"})

    async def readyz(_request: Request) -> Response:
        reason = status.ready()
        if reason is None:
            return _json({"status": "ok"})
        return _json({"status": "unavailable", "reason": reason}, 503)

    async def health(_request: Request) -> Response:
        return _json(status.health())

    async def metrics(_request: Request) -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    async def about_this(_request: Request) -> Response:
        return _json(about)

    answers = {"/livez": livez, "/readyz": readyz, "/health": health, "/metrics": metrics, "/version": about_this}
    return Starlette(
        routes=[Route(path, answer, methods=["GET"]) for path, answer in answers.items()],
        exception_handlers={HTTPException: _refuse},
    )


async def _refuse(_request: Request, error: Exception) -> Response:
    # Starlette's types want a handler of any exception; it is registered for HTTPException alone.
    refusal = error if isinstance(error, HTTPException) else HTTPException(500)
    return _json({"error": refusal.detail}, refusal.status_code, refusal.headers)


def _json(content: dict[str, Any], status_code: int = 200, headers: Any = None) -> Response:
    return Response(orjson.dumps(content, default=str), status_code, headers, "application/json")
