"""`penstock run`: what is refused before anything connects, and what the worker is given."""

from __future__ import annotations

import json
import socket
import sys
from typing import TYPE_CHECKING, Any

import pytest
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.settings import Settings
    from penstock.worker import Worker


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What run_worker was called with, instead of running."""
    seen: dict[str, Any] = {}

    async def run_worker(worker: Worker, settings: Settings, *, drain: bool, reload: Callable[[], Settings]) -> int:
        seen.update(worker=worker, settings=settings, drain=drain, reload=reload)
        structlog.get_logger().info("ran", password=settings.postgres.password.get_secret_value())
        return 0

    monkeypatch.setattr("penstock.cli.run.run_worker", run_worker)
    return seen


def test_the_worker_gets_its_settings_with_the_options_on_top(
    call: Callable[..., Any], orders: str, password: str, given: dict[str, Any], tmp_path: Path
) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("workers: {orders: {batch: {count: 7}, http: {port: 1}}}", encoding="utf-8")
    answer = call(
        "--config", str(file), "--log-level", "INFO", "run", orders, "--port", "0", "--drain",
        LOG_LEVEL="error", POSTGRES_PASSWORD=password,
    )  # fmt: skip
    assert answer.code == 0
    settings = given["settings"]
    assert (given["worker"].name, given["drain"]) == ("orders", True)
    assert (settings.batch.count, settings.http.port, settings.log.level) == (7, 0, "info")
    line = json.loads(answer.out)
    assert (line["event"], line["password"]) == ("ran", "***")
    file.write_text("workers: {orders: {batch: {count: 8}}}", encoding="utf-8")
    assert given["reload"]().batch.count == 8


def test_a_variable_that_is_hardly_meant_is_logged(
    call: Callable[..., Any], orders: str, given: dict[str, Any]
) -> None:
    answer = call("run", orders, RABBITMQ_HSOT="mq")
    warning, _ran = map(json.loads, answer.out.splitlines())
    assert given["worker"].name == "orders"
    assert (warning["level"], warning["event"]) == ("warning", "variable_not_read")
    assert warning["problem"] == "RABBITMQ_HSOT is not read; did you mean RABBITMQ_HOST?"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PENSTOCK_BATCH_COUNT": "5"}, "PENSTOCK_BATCH_COUNT: there is no such setting"),
        ({"PENSTOCK_BATCH__COUNT": "0"}, "PENSTOCK_BATCH__COUNT: '0' is not a whole number from 1 to 32767"),
        ({"PENSTOCK_CONFIG": "/nowhere/p.yaml"}, "/nowhere/p.yaml (--config, PENSTOCK_CONFIG) cannot be read"),
        ({"POSTGRES_PASSWORD_FILE": "/nowhere/pw"}, "POSTGRES_PASSWORD_FILE: /nowhere/pw cannot be read"),
    ],
)
def test_wrong_settings_show_before_anything_runs(
    call: Callable[..., Any], orders: str, given: dict[str, Any], environ: dict[str, str], expected: str
) -> None:
    answer = call("run", orders, **environ)
    assert (answer.code, answer.out, given) == (2, "", {})
    assert answer.err.startswith(f"penstock: {expected}")
    assert answer.err.count("\n") == 1


def test_a_missing_variable_of_the_file_is_named(call: Callable[..., Any], orders: str, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("postgres:\n  password: ${DB_PASSWORD}\n", encoding="utf-8")
    answer = call("--config", str(file), "run", orders)
    assert answer.code == 2
    assert f"{file}:2: the variable DB_PASSWORD is not set" in answer.err


def test_an_unknown_worker_is_answered_with_those_there_are(call: Callable[..., Any], orders: str) -> None:
    answer = call("run", "order")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err.startswith(f"penstock: there is no worker order; there are: {orders}, ")


def test_a_missing_extra_is_one_line(
    call: Callable[..., Any], install: Callable[[str, str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "asyncpg", None)
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", "import asyncpg\n")
    answer = call("run", "orders")
    assert answer.code == 2
    assert answer.err == (
        "penstock: the worker orders of acme needs asyncpg, which is not installed: pip install 'penstock[table]'\n"
    )


def test_a_taken_port_is_one_line(call: Callable[..., Any], orders: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = call("run", orders, "--port", str(port))
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        f"penstock: the HTTP address 127.0.0.1:{port} is taken: "
        "set PENSTOCK_HTTP__PORT to another port, or 0 for any free one; "
        "for this worker alone: http.port under workers: orders: in the file\n"
    )
