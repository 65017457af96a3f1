"""`penstock up`: real child processes that end in every way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from penstock.cli.up import run_all
from support.shop import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

#: Says on which signals it was ended, once it is ready for them.
CHILD = """
import pathlib, signal, sys
path = pathlib.Path(sys.argv[1])
ended = []
def end(number, frame):
    ended.append(signal.Signals(number).name)
signal.signal(signal.SIGTERM, end)
signal.signal(signal.SIGHUP, end)
path.with_suffix(".ready").write_text("x")
while len(ended) < int(sys.argv[2]):
    signal.pause()
path.write_text(" ".join(ended))
"""
STUBBORN = CHILD.replace("while len(ended)", "while True or len(ended)")


def command(path: Path, program: str = CHILD, signals: int = 1) -> list[str]:
    os.mkfifo(path.with_suffix(".ready"))
    return [sys.executable, "-c", program, str(path), str(signals)]


async def ready(*paths: Path) -> None:
    """Return when the child of each path has written to its pipe."""
    loop = asyncio.get_running_loop()
    for path in paths:
        written = asyncio.Event()
        pipe = os.open(path.with_suffix(".ready"), os.O_RDWR | os.O_NONBLOCK)
        loop.add_reader(pipe, written.set)
        async with asyncio.timeout(20):
            await written.wait()
        loop.remove_reader(pipe)
        os.close(pipe)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_one_signal_drains_all(tmp_path: Path, number: signal.Signals) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    running = asyncio.create_task(run_all({"one": command(one), "two": command(two)}, os.environ))
    await ready(one, two)
    os.kill(os.getpid(), number)
    assert await running == 0
    assert (one.read_text("utf-8"), two.read_text("utf-8")) == ("SIGTERM", "SIGTERM")
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


async def test_hangup_is_passed_on(tmp_path: Path) -> None:
    one = tmp_path / "one"
    running = asyncio.create_task(run_all({"one": command(one, signals=2)}, os.environ))
    await ready(one)
    os.kill(os.getpid(), signal.SIGHUP)
    # Signals of different numbers may arrive in any order once both are pending.
    os.kill(os.getpid(), signal.SIGTERM)
    assert await running == 0
    assert sorted(one.read_text("utf-8").split()) == ["SIGHUP", "SIGTERM"]


async def test_the_failure_of_one_drains_the_others(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    # It fails once the other one is ready.
    failing = [sys.executable, "-c", f"open({str(one.with_suffix('.ready'))!r}).read(1)\nraise SystemExit(3)"]
    async with asyncio.timeout(20):
        assert await run_all({"one": command(one), "two": failing}, os.environ) == 1
    assert one.read_text("utf-8") == "SIGTERM"
    assert not two.exists()


async def test_all_that_end_well_end_it_well() -> None:
    done = [sys.executable, "-c", ""]
    assert await run_all({"one": done, "two": done}, os.environ) == 0


async def test_a_second_signal_kills_what_does_not_end(tmp_path: Path) -> None:
    one = tmp_path / "one"
    running = asyncio.create_task(run_all({"one": command(one, STUBBORN)}, os.environ))
    await ready(one)
    for _ in range(2):
        os.kill(os.getpid(), signal.SIGINT)
    async with asyncio.timeout(20):
        assert await running == 1
    assert not one.exists()


def test_nothing_starts_when_a_name_is_unknown(
    call: Callable[..., Any], orders: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.cli.up.run_all", None)
    answer = call("up", orders, "ordres")
    assert answer.code == 2
    assert answer.err.startswith("penstock: there is no worker ordres; there are: orders")


def test_two_on_one_port_are_refused(
    call: Callable[..., Any], orders: str, install: Callable[[str, str, str], None]
) -> None:
    install("beta", "[penstock.workers]\nbills = beta_module:worker\n", ORDERS.replace('"orders"', '"bills"'))
    answer = call("up", orders, "bills")
    assert answer.code == 2
    assert "orders and bills would all serve HTTP on port 8123: set http.port for each" in answer.err


def test_a_worker_named_twice_is_refused(call: Callable[..., Any], orders: str) -> None:
    answer = call("up", orders, orders, PENSTOCK_HTTP__PORT="0")
    assert answer.code == 2
    assert answer.err.startswith("penstock: orders is named twice: name each worker once; a second process of it is: ")


def test_each_worker_runs_in_a_process_with_the_same_options(
    call: Callable[..., Any], orders: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    seen: dict[str, Any] = {}

    async def run_all_seen(commands: dict[str, list[str]], environ: dict[str, str]) -> int:
        seen.update(commands=commands, environ=environ)
        return 1

    monkeypatch.setattr("penstock.cli.up.run_all", run_all_seen)
    config = tmp_path / "p.yaml"
    config.write_text("", encoding="utf-8")
    answer = call("--config", str(config), "--log-level", "debug", "up", orders, "--drain")
    assert answer.code == 1
    assert seen["commands"] == {orders: [sys.executable, "-m", "penstock", "run", orders, "--drain"]}
    assert seen["environ"]["PENSTOCK_CONFIG"] == str(config)
    assert seen["environ"]["PENSTOCK_LOG__LEVEL"] == "debug"
