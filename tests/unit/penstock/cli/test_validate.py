"""`penstock validate` and the advice it gives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from penstock.cli.advice import advice
from penstock.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

UNMADE = """
from penstock.worker import Worker
def sink(worker, settings):
    raise KeyError("no such table")
worker = Worker(name="bad", model=dict, natural_key=id, mapping=id, sink=sink, endpoints=lambda settings: [1])
"""


def test_valid_settings(call: Callable[..., Any], orders: str) -> None:
    answer = call("validate", orders, "--deny-warnings")
    assert (answer.code, answer.out, answer.err) == (0, "orders: the settings are valid\n", "")


def test_warnings_are_said_once_and_can_be_denied(call: Callable[..., Any], orders: str) -> None:
    answer = call("validate", orders, orders, PENSTOCK_QUEUE__PREFETCH="600")
    text = "penstock: warning: queue.prefetch (600) is below twice batch.count (500) and will be raised to 1000\n"
    assert (answer.code, answer.err) == (0, text)
    assert call("validate", orders, "--deny-warnings").code == 1


def test_a_wrong_setting_is_told_and_the_code_is_2(call: Callable[..., Any], orders: str) -> None:
    answer = call("validate", orders, RABBITMQ_PORT="many")
    assert answer.code == 2
    assert answer.err == "penstock: RABBITMQ_PORT: 'many' is not a whole number from 1 to 65535\n"


def test_settings_for_no_worker_are_a_warning(call: Callable[..., Any], orders: str, tmp_path: Path) -> None:
    file = tmp_path / "penstock.yaml"
    file.write_text("workers: {ordres: {batch: {count: 5}}}", encoding="utf-8")
    answer = call("--config", str(file), "validate", orders)
    assert "the file has settings for ordres, which is no worker; did you mean orders?" in answer.err


def test_all_workers_but_those_that_cannot_be_loaded(
    call: Callable[..., Any], orders: str, install: Callable[[str, str, str], None]
) -> None:
    install("bad", "[penstock.workers]\nbroken = bad_module:worker\n", "import no_such_thing")
    answer = call("validate")
    assert answer.code == 0
    assert f"{orders}: the settings are valid\n" in answer.out
    assert "warning: the worker broken of bad needs no_such_thing" in answer.err
    named = call("validate", "broken")
    assert named.code == 2


def test_a_worker_whose_sink_cannot_be_made_is_named(
    call: Callable[..., Any], install: Callable[[str, str, str], None]
) -> None:
    install("acme", "[penstock.workers]\nbad = acme_module:worker\n", UNMADE)
    answer = call("validate", "bad")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "penstock: worker bad: its sink cannot be made: KeyError: 'no such table'\n"


def test_all_settings_are_shown_without_passwords(call: Callable[..., Any], orders: str, password: str) -> None:
    answer = call("validate", orders, "--show", POSTGRES_PASSWORD=password, PENSTOCK_BATCH__COUNT="7")
    assert "postgres.password\t***\tPOSTGRES_PASSWORD\n" in answer.out
    assert "batch.count\t7\tPENSTOCK_BATCH__COUNT\n" in answer.out
    assert "batch.period\t-\tdefault\n" in answer.out


def test_variables_that_are_hardly_meant_are_warned_of(call: Callable[..., Any], orders: str) -> None:
    answer = call("validate", orders, RABBITMQ_HSOT="mq", POSTGRES_USER="me", POSTGRES_USERNAME="me", NEO4J_DB="x")
    assert answer.code == 0
    assert answer.err == (
        "penstock: warning: RABBITMQ_HSOT is not read; did you mean RABBITMQ_HOST?\n"
        "penstock: warning: NEO4J_DB is not read; did you mean NEO4J_DATABASE?\n"
    )


@pytest.mark.parametrize("environ", [{}, {"PENSTOCK_BATCH__COUNT": "1000"}])
def test_the_defaults_need_no_advice(environ: dict[str, str]) -> None:
    assert list(advice(load(None, None, environ))) == []


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"PENSTOCK_QUEUE__PREFETCH": "10"}, "queue.prefetch (10) is below twice batch.count (500)"),
        ({"PENSTOCK_BATCH__BYTE_SIZE": "999999999"}, "batch.byte_size (999999999) is above limits.held_bytes"),
        (
            {"PENSTOCK_LIMITS__HOLD_SECONDS": "1800"},
            "limits.hold_seconds (1800) is not below RabbitMQ's",
        ),
        ({"PENSTOCK_RETRY__WRITE_TIMEOUT": "26"}, "retry.write_timeout (26) is above limits.drain_seconds (25)"),
        ({"RABBITMQ_URL": "amqp://mq", "RABBITMQ_PORT": "1"}, "rabbitmq.port is ignored, because rabbitmq.url is set"),
        ({"RABBITMQ_HOST": "mq:5672"}, "from its own host only, not for mq"),
        ({"RABBITMQ_HOST": "localhost,mq:5672,other"}, "from its own host only, not for mq"),
    ],
)
def test_advice(environ: dict[str, str], expected: str) -> None:
    [line] = advice(load(None, None, environ))
    assert expected in line


@pytest.mark.parametrize("host", ["localhost:5673", "127.0.0.1", "::1", "[::1]:5673", "localhost,127.0.0.1:5673"])
def test_the_default_password_will_do_on_this_host(host: str) -> None:
    assert list(advice(load(None, None, {"RABBITMQ_HOST": host}))) == []
