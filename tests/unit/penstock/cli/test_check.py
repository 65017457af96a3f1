"""`penstock check` against servers that are not there."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from penstock.check import CheckResult

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def closed_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
    return str(port)


def test_each_server_that_fails_has_a_line_and_the_code_is_1(
    call: Callable[..., Any], orders: str, password: str, closed_port: str
) -> None:
    answer = call(
        "check", orders,
        RABBITMQ_HOST="127.0.0.1", RABBITMQ_PORT=closed_port, RABBITMQ_PASSWORD=password, POSTGRES_PASSWORD=password,
    )  # fmt: skip
    assert answer.code == 1
    [heading, broker, sink] = [line.split("\t") for line in answer.out.splitlines()]
    assert heading == ["checked", "result"]
    assert (broker[0], sink[0]) == ("orders: RabbitMQ, queue orders", "orders: sink primary")
    assert f"127.0.0.1:{closed_port}" in broker[1]
    assert sink[1] == "primary refuses the password ***"
    assert "Traceback" not in answer.err


def test_all_well_is_0(call: Callable[..., Any], orders: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def check_worker(worker: Any, _settings: Any) -> list[CheckResult]:
        return [CheckResult(f"{worker.name}: RabbitMQ", None), CheckResult("queue", None, "will be made")]

    monkeypatch.setattr("penstock.cli.check.check_worker", check_worker)
    answer = call("check", orders, RABBITMQ_HSOT="mq")
    assert answer.code == 0
    assert answer.out == "checked\tresult\norders: RabbitMQ\tok\nqueue\tok; will be made\n"
    assert answer.err == "penstock: warning: RABBITMQ_HSOT is not read; did you mean RABBITMQ_HOST?\n"


def test_a_worker_that_cannot_be_imported_leaves_the_others_checked(
    call: Callable[..., Any],
    orders: str,
    install: Callable[[str, str, str], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def check_worker(worker: Any, _settings: Any) -> list[CheckResult]:
        return [CheckResult(worker.name, None)]

    monkeypatch.setattr("penstock.cli.check.check_worker", check_worker)
    install("bad", "[penstock.workers]\nbroken = bad_module:worker\n", "def (")
    answer = call("check")
    assert answer.code == 0
    assert f"{orders}\tok\n" in answer.out
    assert "warning: the worker broken of bad cannot be imported: SyntaxError: " in answer.err
    assert answer.err.count("\n") == 1
    assert call("check", "broken").code == 2


def test_wrong_settings_show_before_it_connects(
    call: Callable[..., Any], orders: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.check.check_worker", None)
    answer = call("check", orders, POSTGRES_URL="mysql://db")
    assert answer.code == 2
    assert answer.err.startswith("penstock: POSTGRES_URL begins with mysql://: it has to begin with postgresql://")
