"""What workers say of themselves."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from penstock.demo.workers import WorkerLook, WorkerProcess, look_of, port_in
from penstock.errors import PenstockError
from support.wait import until

if TYPE_CHECKING:
    from pathlib import Path

STARTED = '{"event": "worker_started", "port": 41234, "drain": false}'


@pytest.mark.parametrize(
    ("log", "port"),
    [
        ("", None),
        ('{"event": "variable_not_read"}\n', None),
        (f"Traceback, of all things\n{STARTED}\n", 41234),
        # Written so far.
        (STARTED[:-1], None),
    ],
)
def test_the_port_is_in_the_log(log: str, port: int | None) -> None:
    assert port_in(log) == port


def test_a_look_is_made_of_health_and_metrics() -> None:
    health = {
        "breaker": {"state": "open", "last_error": "refused"},
        "broker": {"paused_for": ["sink"], "held_messages": 7, "connected": True},
    }
    metrics = (
        "# TYPE penstock_outcomes_total counter\n"
        'penstock_outcomes_total{outcome="written",worker="w"} 40.0\n'
        'penstock_outcomes_total{outcome="duplicate",worker="w"} 2.0\n'
        "# TYPE penstock_received_messages_total counter\n"
        'penstock_received_messages_total{worker="w"} 49.0\n'
    )
    look = look_of(health, metrics)
    assert look == WorkerLook("open", ("sink",), 7, {"written": 40, "duplicate": 2})
    assert look.done == 42


async def test_a_worker_that_ends_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    worker = WorkerProcess("orders", {}, tmp_path)
    with pytest.raises(PenstockError, match="the worker orders ended by itself, with exit code 1"):
        await worker.until_ready()
    await worker.stop()


async def test_one_that_ends_neither_gets_ready_nor_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deaf = tmp_path / "deaf"
    deaf.write_text("#!/bin/sh\ntrap '' TERM\necho deaf now\nexec sleep 1000\n")
    deaf.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(deaf))
    monkeypatch.setattr("penstock.demo.workers.READY_SECONDS", 0.0)
    monkeypatch.setattr("penstock.demo.workers.STOP_SECONDS", 0.0)
    worker = WorkerProcess("orders", {"PATH": "/bin:/usr/bin"}, tmp_path)
    with pytest.raises(PenstockError, match="the worker orders is not ready within 0 s"):
        await worker.until_ready()
    await until(lambda: "deaf now" in (tmp_path / "orders.log").read_text(), "that it hears no SIGTERM")
    await worker.stop()
    with pytest.raises(PenstockError, match="exit code -9"):
        await worker.until_ready()
