"""Faults inside a RabbitMQ that the caller owns. Each lasts as long as its block; both ends of it are waited for."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from penstock.drill.servers.management import Management
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers import Server

#: How long an alarm may take to be raised and taken back, in seconds.
LIMIT = 30
MONITOR = "vm_memory_monitor"


@contextmanager
def memory_alarm(server: Server) -> Iterator[None]:
    """Raise the memory alarm: the broker reads nothing more from connections that publish."""
    before = server.control("eval", f"{MONITOR}:get_vm_memory_high_watermark().").strip()
    with Management(server.address) as management:
        _set_watermark(server, "{absolute, 1000}")
        try:
            wait_until(management.alarmed, LIMIT, "the memory alarm")
            yield
        finally:
            _set_watermark(server, before)
            wait_until(lambda: not management.alarmed(), LIMIT, "the end of the memory alarm")


@contextmanager
def queue_gone(server: Server, virtual_host: str, name: str) -> Iterator[None]:
    """Delete a durable queue with all that is in it; at the end it is declared again as it was, bindings too.

    A message published meanwhile has nowhere to go, unless another queue takes it.
    """
    with Management(server.address) as management:
        queue = management.queue(virtual_host, name)
        bindings = management.bindings(virtual_host, name)
        management.delete_queue(virtual_host, name)
        try:
            yield
        finally:
            management.declare_queue(virtual_host, name, queue["arguments"])
            for binding in bindings:
                management.bind(virtual_host, name, binding)


def _set_watermark(server: Server, erlang: str) -> None:
    server.control("eval", f"{MONITOR}:set_vm_memory_high_watermark({erlang}).")
