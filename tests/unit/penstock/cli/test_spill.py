"""`penstock spill`: what it shows, and what it refuses, without any server."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Any

import pytest

from penstock.clock import SystemClock
from penstock.journal_lease import Lease
from penstock.message import make
from penstock.settings import SpillSettings
from penstock.spill_store import open_store

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEADINGS = "worker\trecords\tbytes\toldest\tdamaged\theld by\tfile\tnote\n"


def spilled(folder: Path, worker: str, count: int) -> None:
    """By a worker that is no more."""

    async def fill() -> None:
        store = await open_store(SpillSettings(path=str(folder)), worker, SystemClock())
        ids = (f"m{number}" for number in range(count))
        await store.append([make(one, "shop", "order", b"{}", headers={}, content_type="a", now=0) for one in ids])
        await store.close()

    asyncio.run(fill())


def test_status_shows_every_file_of_the_folder(call: Callable[..., Any], tmp_path: Path) -> None:
    spilled(tmp_path, "orders", 2)
    spilled(tmp_path, "gone", 0)
    answer = call("spill", "status", PENSTOCK_SPILL__PATH=str(tmp_path))
    assert answer.code == 0
    heading, gone, orders = answer.out.splitlines(keepends=True)
    assert heading == HEADINGS
    assert gone == "gone\t0\t0\t-\t0\tfree\tgone.1.sqlite\t-\n"
    assert orders.split("\t")[:2] == ["orders", "2"]
    assert orders.endswith("\t0\tfree\torders.1.sqlite\t-\n")
    answer = call("spill", "status", "orders", PENSTOCK_SPILL__PATH=str(tmp_path))
    assert answer.out == HEADINGS + orders


def test_the_folders_of_single_workers_are_found(call: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        spilled(tmp_path / name, name, 1)
    file = tmp_path / "penstock.yaml"
    sections = ", ".join(f"{name}: {{spill: {{path: {tmp_path / name}}}}}" for name in ("one", "two"))
    file.write_text(f"workers: {{{sections}, three: {{}}}}", encoding="utf-8")
    answer = call("--config", str(file), "spill", "status")
    assert [line.split("\t")[0] for line in answer.out.splitlines()] == ["worker", "one", "two"]


def test_list_shows_the_oldest_without_what_is_in_them(call: Callable[..., Any], tmp_path: Path) -> None:
    spilled(tmp_path, "orders", 5)
    answer = call("spill", "list", "orders", "--limit", "2", PENSTOCK_SPILL__PATH=str(tmp_path))
    assert answer.code == 0
    heading, first, second = (line.split("\t") for line in answer.out.splitlines())
    assert heading == ["file", "position", "key", "routing key", "bytes", "age"]
    assert first[:4] == ["orders.1.sqlite", "1", "m0", "order"]
    assert second[:4] == ["orders.1.sqlite", "2", "m1", "order"]


@pytest.mark.parametrize("words", [("status",), ("list", "orders"), ("drain", "orders")])
def test_a_spill_that_is_off_or_not_there(call: Callable[..., Any], orders: str, words: tuple[str, ...]) -> None:
    assert orders == "orders"
    answer = call("spill", *words)
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "penstock: the spill is off: set spill.path (PENSTOCK_SPILL__PATH) to the folder it is to use\n"
    )
    answer = call("spill", *words, PENSTOCK_SPILL__PATH="/nowhere")
    assert answer.code == 2
    assert "/nowhere is no folder" in answer.err


def test_an_empty_spill_is_drained_without_any_server(call: Callable[..., Any], orders: str, tmp_path: Path) -> None:
    answer = call("spill", "drain", orders, PENSTOCK_SPILL__PATH=str(tmp_path))
    assert (answer.code, answer.out) == (0, "drained 0 records of orders to its sink\n")


def test_what_a_worker_holds_is_left_to_it(call: Callable[..., Any], orders: str, tmp_path: Path) -> None:
    spilled(tmp_path, orders, 3)
    with Lease(tmp_path / "orders.1.sqlite"):
        for more in ((), ("--publish",)):
            answer = call("spill", "drain", orders, *more, PENSTOCK_SPILL__PATH=str(tmp_path))
            assert answer.code == 1
            assert f"orders.1.sqlite is held by process {os.getpid()}, with 3 records: that worker" in answer.err
        answer = call("spill", "status", PENSTOCK_SPILL__PATH=str(tmp_path))
        assert f"\t{os.getpid()}\torders.1.sqlite" in answer.out


def test_a_sink_that_is_away_is_told_after_five_tries(
    call: Callable[..., Any], orders: str, password: str, tmp_path: Path
) -> None:
    spilled(tmp_path, orders, 3)
    answer = call(
        "spill", "drain", orders,
        PENSTOCK_SPILL__PATH=str(tmp_path), PENSTOCK_RETRY__MIN="0.01", POSTGRES_PASSWORD=password,
    )  # fmt: skip
    assert answer.code == 1
    assert answer.err.splitlines()[-1] == "penstock: primary refuses the password ***"
    answer = call("spill", "status", PENSTOCK_SPILL__PATH=str(tmp_path))
    assert "orders\t3\t" in answer.out


def test_a_worker_does_not_start_without_the_folder_of_its_spill(call: Callable[..., Any], orders: str) -> None:
    answer = call("run", orders, "--port", "0", PENSTOCK_SPILL__PATH="/nowhere", LOG_LEVEL="error")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == (
        "penstock: spill.path (PENSTOCK_SPILL__PATH): /nowhere is no folder: make it, or mount its disk\n"
    )
