"""`penstock list`."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from support.shop import ORDERS

if TYPE_CHECKING:
    from collections.abc import Callable


def test_workers_are_listed_with_queue_port_package_and_bindings(call: Callable[..., Any], orders: str) -> None:
    answer = call("list")
    [line] = [line for line in answer.out.splitlines() if line.strip().startswith(orders)]
    assert line.split("\t") == ["orders", "orders", "8123", "acme 1.0", "shop/order: Orders of the shop"]
    assert answer.code == 0


def test_what_cannot_be_loaded_is_listed_with_the_reason(
    call: Callable[..., Any], install: Callable[[str, str, str], None]
) -> None:
    entry_points = "[penstock.workers]\nbroken = acme_module:worker\n[penstock.readers]\nfaulty = acme_module:reader\n"
    install("acme", entry_points, "import no_such_thing")
    answer = call("list")
    assert answer.code == 0
    assert "cannot be used: the worker broken of acme needs no_such_thing" in answer.out
    assert "pip install 'acme[special]'" in answer.out
    assert "cannot be used: the reader faulty of acme needs no_such_thing" in answer.out


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ("def (", "SyntaxError: "),
        (
            ORDERS.replace('bindings=(Binding("shop", "order"),)', 'bindings=Binding("shop", "order")'),
            "its bindings must",
        ),
    ],
)
def test_one_broken_worker_breaks_no_list(
    call: Callable[..., Any], install: Callable[[str, str, str], None], module: str, reason: str
) -> None:
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", module)
    answer = call("list")
    assert answer.code == 0
    [line] = [line for line in answer.out.splitlines() if line.startswith("orders\t")]
    assert "the worker orders of acme cannot be" in line
    assert reason in line


def test_what_a_worker_does_not_say_leaves_no_colon(
    call: Callable[..., Any], install: Callable[[str, str, str], None]
) -> None:
    module = ORDERS.replace(', description="Orders of the shop"', "")
    install("acme", "[penstock.workers]\norders = acme_module:worker\n", module)
    [line] = [line for line in call("list").out.splitlines() if line.startswith("orders\t")]
    assert line.endswith("\tshop/order")


def test_a_closed_standard_output_is_no_crash() -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m penstock list >&-', sys.executable], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
