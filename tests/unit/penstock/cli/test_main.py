"""The command as a whole: help, version, and how errors look."""

from __future__ import annotations

import shlex
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from penstock.errors import LinkError

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize(
    "command", [[], ["run"], ["up"], ["list"], ["validate"], ["check"], ["publish"], ["publish", "jsonl"]]
)
def test_every_help_has_an_example(call: Callable[..., Any], command: list[str]) -> None:
    answer = call(*command, "--help")
    assert answer.code == 0
    assert "Example" in answer.out
    assert f"penstock {' '.join(command)}".strip() in answer.out


def test_the_version(call: Callable[..., Any]) -> None:
    assert call("--version").out == f"penstock {version('penstock')}\n"


@pytest.mark.parametrize(
    ("arguments", "right"),
    [
        ("run orders --config f.yaml", "--config f.yaml run orders"),
        ("run --log-level=debug orders --port 0", "--log-level=debug run orders --port 0"),
        ("--log-level info run orders --log-format console", "--log-format console run orders"),
        ("publish jsonl --config 'a b' x", "--config 'a b' publish jsonl x"),
    ],
)
def test_a_global_option_behind_the_command_is_told_where_it_goes(
    call: Callable[..., Any], arguments: str, right: str
) -> None:
    answer = call(*shlex.split(arguments))
    option = right.split(maxsplit=1)[0].partition("=")[0]
    assert (answer.code, answer.err) == (2, f"penstock: put {option} before the command: penstock {right}\n")


def test_what_follows_two_dashes_is_no_option(call: Callable[..., Any]) -> None:
    assert "there is no worker --config" in call("run", "--", "--config").err


@pytest.mark.parametrize("arguments", [["fly"], ["--log-level", "loud", "list"], ["run"], ["publish", "nothing", "x"]])
def test_used_wrongly_the_code_is_2(call: Callable[..., Any], arguments: list[str]) -> None:
    answer = call(*arguments)
    assert answer.code == 2
    assert answer.err
    assert not answer.out


def test_it_runs_as_a_module_too() -> None:
    done = subprocess.run([sys.executable, "-m", "penstock", "--version"], check=True, capture_output=True, text=True)
    assert done.stdout == f"penstock {version('penstock')}\n"


@pytest.mark.usefixtures("orders")
@pytest.mark.parametrize(("words", "expected"), [("penstock val", "validate"), ("penstock run ord", "orders")])
def test_the_shell_completes_commands_and_workers(call: Callable[..., Any], words: str, expected: str) -> None:
    position = str(words.count(" "))
    answer = call(_PENSTOCK_COMPLETE="complete_bash", COMP_WORDS=words, COMP_CWORD=position)
    assert (answer.code, answer.out.split()) == (0, [expected])


def fail_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("penstock.cli.run.run_worker", fail)


def test_an_error_on_purpose_is_one_line_without_password(
    call: Callable[..., Any], orders: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, LinkError(f"cannot connect\nto amqp://me:{password}@mq"))
    answer = call("run", orders, RABBITMQ_URL=f"amqp://me:{password}@mq")
    assert (answer.code, answer.out) == (1, "")
    assert answer.err == "penstock: cannot connect to amqp://me:***@mq\n"


def test_an_error_nobody_expected_says_how_to_learn_more(
    call: Callable[..., Any], orders: str, password: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_with(monkeypatch, KeyError(f"lost {password}"))
    answer = call("run", orders, POSTGRES_PASSWORD=password)
    assert answer.code == 1
    assert answer.err == (
        "penstock: unexpected KeyError: 'lost ***'\npenstock: run with --log-level debug for the traceback\n"
    )
    assert "Traceback" in call("--log-level", "debug", "run", orders).err
    assert "Traceback" in call("run", orders, LOG_LEVEL="DEBUG").err


def test_an_interrupt_is_no_traceback(call: Callable[..., Any], orders: str, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_with(monkeypatch, KeyboardInterrupt())
    answer = call("run", orders)
    assert answer.code != 0
    assert "Traceback" not in answer.err
