"""`penstock spill`: what waits on this machine's disk for a sink."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.interrupt import run_to_its_end
from penstock.cli.names import Name
from penstock.cli.output import show_table
from penstock.discovery import load_worker
from penstock.settings import workers_in_file
from penstock.spill_left import drain_to_queue, drain_to_sink
from penstock.spill_look import entries, look
from penstock.spill_store import folder_of

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.cli.session import Session
    from penstock.spill_look import FileLook

NameOrAll = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A worker, installed here or not; all of them if none.")
]
Limit = Annotated[int, typer.Option("--limit", min=1, help="Records of each file at most.")]
Publish = Annotated[bool, typer.Option("--publish", help="Publish them back to the worker's queue instead.")]


def spill_commands() -> typer.Typer:
    """Return the group `spill`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=_HELP)
    group.command("status")(status)
    group.command("list")(list_records)
    group.command("drain")(drain)
    return group


_HELP = """Look into the spill, and drain what a worker that is no more has left there.

A worker spills to the folder spill.path (PENSTOCK_SPILL__PATH) while every endpoint of its sink is down, and writes
it by itself as soon as one answers.

\b
Examples:
  penstock spill status
  penstock spill list discogs-table --limit 5
  penstock spill drain discogs-table
  penstock spill drain discogs-table --publish
"""


def status(context: typer.Context, name: NameOrAll = None) -> None:
    """Say what each file of the spill holds, and which process holds the file. Changes nothing.

    Damaged records, damaged files and torn tails are kept aside, and counted here.

    \b
    Examples:
      penstock spill status
      penstock spill status discogs-table
    """
    now = time.time()
    columns = ("worker", "records", "bytes", "oldest", "damaged", "held by", "file", "note")
    show_table(columns, (_row(one, now) for folder in _folders(context.obj, name) for one in look(folder, name)))


def list_records(context: typer.Context, name: Name, limit: Limit = 100) -> None:
    """List the records in a worker's spill, oldest first, without what is in them. Changes nothing.

    \b
    Examples:
      penstock spill list discogs-table
      penstock spill list discogs-table --limit 5
    """
    now = time.time()
    columns = ("file", "position", "key", "routing key", "bytes", "age")
    found = (
        (one.file.path.name, str(entry.position), entry.key, entry.routing_key, str(entry.size), _age(now - entry.came))
        for folder in _folders(context.obj, name)
        for one in look(folder, name)
        for entry in entries(one.file.path, limit)
    )
    show_table(columns, list(found))


def drain(context: typer.Context, name: Name, publish: Publish = False) -> None:
    """Write what is left in a worker's spill to its sink, in order, as the worker would.

    Files that a running worker holds are left to it. The exit code is 0 once
    nothing is left. What is refused for good goes to the worker's DLQ.

    \b
    Examples:
      penstock spill drain discogs-table
      penstock spill drain discogs-table --publish
    """
    session: Session = context.obj
    worker = load_worker(name)
    settings = session.settings(name)
    session.log_as_command(settings)

    async def action() -> None:
        if publish:
            drained, where = await drain_to_queue(worker, settings), f"back to the queue {worker.queue}"
        else:
            drained, where = await drain_to_sink(worker, settings), "to its sink"
        typer.echo(f"drained {drained:,} records of {name} {where}")

    run_to_its_end(action())


def _folders(session: Session, name: str | None) -> list[Path]:
    """Return the folder of a worker's spill, or those of all. Raises SettingsError where there is none."""
    if name is not None:
        return [folder_of(session.settings(name).spill)]
    sections = [session.settings(worker).spill for worker in (None, *workers_in_file(None, session.environ()))]
    found = {folder_of(spill) for spill in sections if spill.path}
    return sorted(found) if found else [folder_of(sections[0])]


def _row(one: FileLook, now: float) -> tuple[str, ...]:
    aside = ", ".join(path.name for path in one.aside)
    note = "; ".join(filter(None, (one.trouble, f"kept aside: {aside}" if aside else "")))
    return (
        one.file.worker,
        str(one.pending.records),
        str(one.pending.byte_size),
        "-" if one.oldest is None else _age(now - one.oldest),
        str(one.damaged.records),
        one.holder or "free",
        one.file.path.name,
        note or "-",
    )


def _age(seconds: float) -> str:
    return f"{max(0.0, seconds):.0f} s"
