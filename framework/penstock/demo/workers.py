"""The workers of a demo: processes of their own, asked over HTTP how they are."""

from __future__ import annotations

import asyncio
import http.client
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from prometheus_client.parser import text_string_to_metric_families

from penstock.errors import PenstockError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Seconds a worker gets until it is ready, and between two looks at it.
READY_SECONDS = 60.0
INTERVAL = 0.05
#: Seconds for one answer.
ANSWER_SECONDS = 5.0
#: Seconds a worker gets to end by itself: more than its own drain limit.
STOP_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class WorkerLook:
    """What a worker said of itself. `outcomes` counts its records so far by outcome, as {"written": 800}."""

    breaker: str = "closed"
    paused_for: tuple[str, ...] = ()
    held: int = 0
    outcomes: Mapping[str, int] = field(default_factory=dict)

    @property
    def done(self) -> int:
        """How many records have an outcome."""
        return sum(self.outcomes.values())


class WorkerProcess:
    """`penstock run NAME` in a process of its own, which writes its log into `folder`."""

    def __init__(self, name: str, environ: Mapping[str, str], folder: Path) -> None:
        """Start it."""
        self.name = name
        self._log = folder / f"{name}.log"
        self._port: int | None = None
        with self._log.open("wb") as log:
            # Not by asyncio, which kills its children at the end: with --keep they are to stay. In a session of its
            # own, so that Ctrl-C reaches it through us only; elsewhere than here, where a folder may be named penstock.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "penstock", "run", name],
                cwd=folder,
                env=dict(environ),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def address(self) -> str:
        """Where it answers; known once it is ready."""
        return f"http://127.0.0.1:{self._port}"

    async def until_ready(self) -> None:
        """Wait until it can do its work. Raises PenstockError where it ends before, or is not ready in time."""
        deadline = time.monotonic() + READY_SECONDS
        while not await asyncio.to_thread(self._is_ready):
            self._check_alive()
            if time.monotonic() > deadline:
                raise PenstockError(f"the worker {self.name} is not ready within {READY_SECONDS:.0f} s")
            await asyncio.sleep(INTERVAL)

    async def look(self) -> WorkerLook | None:
        """Ask it how it is; None where it does not answer in time. Raises PenstockError where it has ended."""
        try:
            # In this order: when all outcomes are there and nothing is held after that, all of it is settled.
            _, metrics = await asyncio.to_thread(self._get, "/metrics")
            _, health = await asyncio.to_thread(self._get, "/health")
        except (OSError, http.client.HTTPException):
            self._check_alive()
            return None
        return look_of(json.loads(health), metrics.decode())

    async def stop(self) -> None:
        """End it: finishing what it holds, or by force after STOP_SECONDS. Never raises."""
        self._process.terminate()
        deadline = time.monotonic() + STOP_SECONDS
        while self._process.poll() is None:
            if time.monotonic() > deadline:
                self._process.kill()
            await asyncio.sleep(INTERVAL)

    def kill(self) -> None:
        """End it by force."""
        self._process.kill()

    def _check_alive(self) -> None:
        if (code := self._process.poll()) is not None:
            raise PenstockError(f"the worker {self.name} ended by itself, with exit code {code}")

    def _is_ready(self) -> bool:
        if self._port is None:
            self._port = port_in(self._log.read_text(encoding="utf-8", errors="replace"))
        try:
            return self._port is not None and self._get("/readyz")[0] == http.client.OK
        except (OSError, http.client.HTTPException):
            return False

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=ANSWER_SECONDS)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


def port_in(log: str) -> int | None:
    """Return the port that a worker says it listens on, once its log holds that."""
    for line in log.splitlines():
        # A line that is only half written yet is no JSON.
        if '"worker_started"' in line and line.endswith("}"):
            port: int = json.loads(line)["port"]
            return port
    return None


def look_of(health: Mapping[str, Any], metrics: str) -> WorkerLook:
    """Return what the answers of /health and /metrics say."""
    outcomes = {
        sample.labels["outcome"]: int(sample.value)
        for family in text_string_to_metric_families(metrics)
        for sample in family.samples
        if sample.name == "penstock_outcomes_total"
    }
    return WorkerLook(
        health["breaker"]["state"], tuple(health["broker"]["paused_for"]), health["broker"]["held_messages"], outcomes
    )
