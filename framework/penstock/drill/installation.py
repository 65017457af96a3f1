"""Penstock as its users run it: commands in processes of their own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx
from prometheus_client.parser import text_string_to_metric_families

from penstock.drill.servers import tls
from penstock.drill.servers.daemon import begin
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

#: What a process needs of the machine it runs on; everything else is said by the test.
INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV")


@dataclass(frozen=True)
class Installation:
    """A Python with Penstock in it, and the settings its commands get."""

    environment: Mapping[str, str] = field(repr=False)
    python: str = sys.executable

    def with_settings(self, **settings: str | float) -> Installation:
        """The same with more variables; `batch__count=5` is PENSTOCK_BATCH__COUNT, capitals are taken as they are."""
        more = {name if name.isupper() else f"PENSTOCK_{name.upper()}": str(value) for name, value in settings.items()}
        return Installation({**self.environment, **more}, self.python)

    def penstock(self, *words: str | Path, seconds: float = 120) -> subprocess.CompletedProcess[str]:
        """Run a command to its end."""
        return subprocess.run(
            self._command(words),
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )

    def done(self, *words: str | Path, seconds: float = 120) -> str:
        """Run a command that must succeed; its standard output."""
        result = self.penstock(*words, seconds=seconds)
        assert result.returncode == 0, (
            f"penstock {words} ended with {result.returncode}\n{result.stdout}{result.stderr}"
        )
        return result.stdout

    def drain(self, *names: str, seconds: float = 120) -> dict[str, dict[str, Any]]:
        """Run workers with --drain, all at the same time; by name, the counts they logged at the end."""
        running = {name: self.start("run", name, "--drain") for name in names}
        try:
            for name, process in running.items():
                assert process.wait(seconds) == 0, f"{name} failed\n{process.output()}"
            return {name: process.last_event("worker_stopped") for name, process in running.items()}
        finally:
            for process in running.values():
                process.kill()

    def start(self, *words: str | Path) -> Process:
        """Start a command that goes on; its HTTP server takes a free port."""
        return Process(self._command(words), {**self._environment(), "PENSTOCK_HTTP__PORT": "0"})

    def _command(self, words: tuple[str | Path, ...]) -> list[str]:
        return [self.python, "-m", "penstock", *map(str, words)]

    def _environment(self) -> dict[str, str]:
        return {**{name: os.environ[name] for name in INHERITED if name in os.environ}, **self.environment}


class Process:
    """A running command; in a `with` it is killed at the end if it still runs. It dies with who has started it."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._log = tempfile.NamedTemporaryFile("w+", prefix="penstock-", suffix=".log")  # noqa: SIM115 see __exit__
        self._process = begin(command, environment, self._log)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.kill()
        self._log.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def output(self) -> str:
        """Everything it wrote so far, standard output and error."""
        return Path(self._log.name).read_text()

    def events(self, name: str = "") -> list[dict[str, Any]]:
        """Its log lines so far, those of one event or all."""
        lines = [json.loads(line) for line in self.output().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if not name or line["event"] == name]

    def last_event(self, name: str) -> dict[str, Any]:
        """The newest log line of an event, which must be there."""
        found = self.events(name)
        assert found, f"no event {name} in\n{self.output()}"
        return found[-1]

    def wait_for(self, event: str, seconds: float = 60) -> dict[str, Any]:
        """Wait for an event in the log."""
        wait_until(lambda: bool(self.events(event)) or not self.running, seconds, f"event {event}\n{self.output()}")
        return self.last_event(event)

    def get(self, path: str) -> httpx.Response:
        """Ask its HTTP server. An httpx.TransportError has the process's output as a note: it may tell of its end."""
        port = self.wait_for("worker_started")["port"]
        try:
            return httpx.get(f"http://127.0.0.1:{port}{path}", timeout=10, verify=tls.CONTEXT)
        except httpx.TransportError as error:
            error.add_note(self.output())
            raise

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there is none."""
        families = text_string_to_metric_families(self.get("/metrics").text)
        return sum(
            sample.value
            for family in families
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def wait_ready(self, seconds: float = 60) -> None:
        """Wait until /readyz says 200."""
        wait_until(lambda: self.get("/readyz").status_code == 200, seconds, "ready")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, seconds: float = 60) -> int:
        """Wait for its end; the exit code. Raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)

    def stop(self, seconds: float = 25) -> int:
        """SIGTERM, and wait for the end within so many seconds."""
        self.signal(signal.SIGTERM)
        return self.wait(seconds)

    def kill(self) -> None:
        """kill -9, and reap it."""
        if self.running:
            self._process.kill()
        self._process.wait(10)
