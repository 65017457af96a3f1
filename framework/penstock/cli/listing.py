"""`penstock list`: what is installed."""

from __future__ import annotations

import typer

from penstock.cli.output import show_table
from penstock.discovery import load_reader, load_worker, reader_names, worker_names, worker_package
from penstock.errors import UsageError


def list_installed() -> None:
    """List the workers and readers that are installed, here or by other packages.

    \b
    Example:
      penstock list
    """
    show_table(("worker", "queue", "port", "package", "bound to: what it does"), map(_worker, worker_names()))
    show_table(("reader", "exchange"), map(_reader, reader_names()))
    typer.echo("Run one: penstock run NAME. Publish with one: penstock publish READER PATH.")


def _worker(name: str) -> tuple[str, ...]:
    try:
        worker = load_worker(name)
        package = worker_package(name)
    except UsageError as error:
        return name, "", "", "", f"cannot be used: {error}"
    bindings = ", ".join(f"{binding.exchange}/{binding.routing_key}" for binding in worker.bindings)
    does = ": ".join(filter(None, (bindings or "nothing", worker.description)))
    return name, worker.queue, str(worker.port or "any"), package, does


def _reader(name: str) -> tuple[str, ...]:
    try:
        return name, load_reader(name).exchange
    except UsageError as error:
        return name, f"cannot be used: {error}"
