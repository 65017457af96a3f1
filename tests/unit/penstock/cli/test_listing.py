"""`penstock list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def test_workers_are_listed_with_queue_port_package_and_bindings(call: Callable[..., Any], orders: str) -> None:
    answer = call("list")
    [line] = [line for line in answer.out.splitlines() if line.strip().startswith(orders)]
    assert line.split() == ["orders", "orders", "8123", "acme", "1.0", "shop/order:", "Orders", "of", "the", "shop"]
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
