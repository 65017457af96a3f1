"""`penstock outbox`: what a publisher has kept on this machine's disk."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.output import show_table
from penstock.clock import SystemClock
from penstock.errors import SettingsError, UsageError
from penstock.journal_lease import holder
from penstock.journal_look import StreamLook, look_at_entries, look_at_streams
from penstock.message import from_payload
from penstock.outbox import FAILED, PENDING, open_outbox

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.cli.session import Session
    from penstock.outbox import Kept, Outbox
    from penstock.settings import OutboxSettings

    Action = Callable[[Outbox, Sequence[Kept]], Awaitable[None]]

Limit = Annotated[int, typer.Option("--limit", min=1, help="Messages at most.")]
Ids = Annotated[list[str] | None, typer.Argument(metavar="[ID]...", help="Messages; see penstock outbox failed.")]
All = Annotated[bool, typer.Option("--all", help="Every message that failed.")]


def outbox_commands() -> typer.Typer:
    """Return the group `outbox`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=_HELP)
    group.command("status")(status)
    group.command("failed")(failed)
    group.command("retry")(retry)
    group.command("discard")(discard)
    return group


_HELP = """Look into the outbox of a program that publishes with penstock.Publisher, and see to what failed there.

It is the file outbox.path (PENSTOCK_OUTBOX__PATH). Messages wait there while the broker is away, and are sent as
soon as it is back. Those that the broker refused are kept aside until they are tried again or discarded.

\b
Examples:
  penstock outbox status
  penstock outbox failed
  penstock outbox retry --all
  penstock outbox discard 0197d3c5-8c3e-7cc1-a3b1-5a1c7f0e2b11
"""


def status(context: typer.Context) -> None:
    """Say what the outbox holds, and which process holds its file. Changes nothing.

    \b
    Examples:
      penstock outbox status
      PENSTOCK_OUTBOX__PATH=/var/lib/shop/outbox.sqlite penstock outbox status
    """
    _, path = _outbox(context.obj)
    found = look_at_streams(path)
    pending, aside = found.get(PENDING, StreamLook()), found.get(FAILED, StreamLook())
    age = "-" if pending.oldest is None else _age(pending.oldest)
    size = pending.usage.byte_size + aside.usage.byte_size
    columns = ("pending", "failed", "bytes", "oldest", "held by", "file")
    row = (pending.usage.records, aside.usage.records, size, age, holder(path) or "free", path)
    show_table(columns, [[str(value) for value in row]])


def failed(context: typer.Context, limit: Limit = 100) -> None:
    """List the messages that the broker refused, oldest first, without what is in them. Changes nothing.

    \b
    Examples:
      penstock outbox failed
      penstock outbox failed --limit 5
    """
    _, path = _outbox(context.obj)
    rows = []
    for seen in look_at_entries(path, FAILED, limit):
        if seen.payload is None:
            rows.append(("damaged", "", "", str(seen.size), _age(seen.came), "its checksum does not fit"))
            continue
        message, reason = from_payload(seen.payload)
        place = (message.exchange or "-", message.routing_key)
        rows.append((message.id, *place, str(len(message.body)), _age(seen.came), " ".join(reason.split())))
    show_table(("id", "exchange", "routing key", "bytes", "age", "reason"), rows)


def retry(context: typer.Context, ids: Ids = None, every: All = False) -> None:
    """Let messages that failed wait again, each in its old place: the program sends them when it is started next.

    A program that runs holds its outbox; it has Publisher.retry_failed for this.

    \b
    Examples:
      penstock outbox retry --all
      penstock outbox retry 0197d3c5-8c3e-7cc1-a3b1-5a1c7f0e2b11
    """
    count = _change(context.obj, ids, every, lambda outbox, chosen: outbox.retry(chosen))
    typer.echo(f"{_messages(count)} will be tried again when the program that publishes is started next")


def discard(context: typer.Context, ids: Ids = None, every: All = False) -> None:
    """Remove messages that failed, for ever.

    A program that runs holds its outbox; it has Publisher.discard_failed for this.

    \b
    Examples:
      penstock outbox discard 0197d3c5-8c3e-7cc1-a3b1-5a1c7f0e2b11
      penstock outbox discard --all
    """
    count = _change(context.obj, ids, every, lambda outbox, chosen: outbox.discard(chosen))
    typer.echo(f"{_messages(count)} discarded")


def _change(session: Session, ids: Sequence[str] | None, every: bool, action: Action) -> int:
    """Do something with failed messages; how many. Raises UsageError, JournalHeld where a program holds the file."""
    if bool(ids) == every:
        raise UsageError("name the messages by their ids (penstock outbox failed lists them), or all with --all")
    settings, path = _outbox(session)
    return asyncio.run(_changed(settings, path, ids, action))


async def _changed(settings: OutboxSettings, path: Path, ids: Sequence[str] | None, action: Action) -> int:
    outbox = await open_outbox(settings, str(path), SystemClock())
    try:
        chosen = [kept for kept in await outbox.failed() if not ids or kept.message.id in ids]
        known = {kept.message.id for kept in chosen}
        if unknown := [one for one in ids or () if one not in known]:
            raise UsageError(f"no message that failed has the id {unknown[0]}: see penstock outbox failed")
        await action(outbox, chosen)
    finally:
        await outbox.close()
    return len(chosen)


def _outbox(session: Session) -> tuple[OutboxSettings, Path]:
    """Return the settings, and the file that they name. Raises SettingsError where there is none."""
    settings = session.settings()
    session.log_as_command(settings)
    if settings.outbox.path is None:
        raise SettingsError("no outbox is set: set PENSTOCK_OUTBOX__PATH to the file of the program that publishes")
    path = Path(settings.outbox.path).expanduser()
    if not path.is_file():
        raise UsageError(f"there is no outbox at {path}: check PENSTOCK_OUTBOX__PATH")
    return settings.outbox, path


def _age(came: float) -> str:
    return f"{max(0.0, time.time() - came):.0f} s"


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"
