"""`penstock dlq replay`, `move` and `purge`: letters taken out of a DLQ."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from penstock.cli.dlq_filter import FilterWords, dead_letter_queue
from penstock.cli.interrupt import run_to_its_end
from penstock.cli.names import Name
from penstock.cli.progress import progress
from penstock.deadletter.moving import move, purge
from penstock.deadletter.replaying import replay
from penstock.deadletter.transfer import Manner, Tally
from penstock.discovery import load_worker
from penstock.publish_link import WINDOW

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.cli.session import Session
    from penstock.settings import Settings

    Work = Callable[[Manner, Tally], Awaitable[Tally]]

Limit = Annotated[int | None, typer.Option("--limit", min=1, help="Letters at most; the oldest first.")]
Rate = Annotated[float | None, typer.Option("--rate", min=0.1, help="Letters a second at most.")]
InFlight = Annotated[
    int,
    typer.Option(
        "--in-flight",
        min=1,
        max=WINDOW,
        help="Letters on their way at once. A kill -9 may repeat as many, which their keys make one effect of.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Change nothing, and say what would be done.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
To = Annotated[str, typer.Option("--to", metavar="QUEUE", help="To this queue instead of the worker's own.")]
Target = Annotated[str, typer.Option("--to", metavar="QUEUE", help="The queue to move them to; it must exist.")]
Force = Annotated[
    bool,
    typer.Option("--force", help="Also those that came back too often, are too old, or whose row was written since."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]

#: What a reason to leave a letter means.
_LEFT = {
    "replayed_often": "replayed dlq.replays times and back (--force replays them)",
    "key_forgotten": "they are older than ledger.age: whether they were written is not known (--force replays them)",
    "written_since": "their rows were written after they failed (--force replays them)",
    "unsendable": "their headers are too large to be sent once more",
}


def replay_letters(  # noqa: PLR0913, PLR0917 - each parameter is an option
    context: typer.Context,
    name: Name,
    words: FilterWords,
    to: To = "",
    limit: Limit = None,
    rate: Rate = None,
    in_flight: InFlight = 1,
    force: Force = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Put letters back into the queue of their worker, each confirmed there before it leaves the DLQ.

    No other worker gets them. A letter stays that was replayed dlq.replays times (3) and came back, and one whose row
    was written after it failed, as far as the sink knows: tables do, graphs store no such time. So does an event that
    is older than ledger.age: its key is in the ledger no more, and nothing would tell that it was written already.

    \b
    Examples:
      penstock dlq replay discogs-table --dry-run
      penstock dlq replay discogs-table --group 3f2a91c07d
      penstock dlq replay discogs-table --reason foreign_key --older-than 1h --limit 1000 --rate 50
      penstock dlq replay discogs-table --in-flight 100
    """
    worker = load_worker(name.removesuffix(".dlq"))
    settings = settings_of(context.obj, worker.name)
    wanted = words.filter(worker.name, settings)

    async def work(manner: Manner, tally: Tally) -> Tally:
        return await replay(worker, settings, wanted, manner, to=to, force=force, tally=tally)

    manner = Manner(limit=limit, rate=rate, in_flight=in_flight, dry_run=dry_run)
    verb = f"{'would be ' if dry_run else ''}replayed to {to or worker.queue}"
    carry_out(work, manner, Tally(worker.dead_letter_queue), verb, as_json)


def move_letters(  # noqa: PLR0913, PLR0917 - each parameter is an option
    context: typer.Context,
    name: Name,
    words: FilterWords,
    to: Target,
    limit: Limit = None,
    rate: Rate = None,
    in_flight: InFlight = 1,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Move letters to another queue as they are, each confirmed there before it leaves the DLQ.

    \b
    Examples:
      penstock dlq move discogs-table --older-than 30d --to discogs-table.parked
      penstock dlq replay discogs-table --reason invalid --to discogs-table-next
    """
    settings, queue = settings_of(context.obj, name), dead_letter_queue(name)
    wanted = words.filter(name, settings)

    async def work(manner: Manner, tally: Tally) -> Tally:
        return await move(settings, queue, to, wanted, manner, tally=tally)

    manner = Manner(limit=limit, rate=rate, in_flight=in_flight, dry_run=dry_run)
    carry_out(work, manner, Tally(queue), f"{'would be ' if dry_run else ''}moved to {to}", as_json)


def purge_letters(
    context: typer.Context,
    name: Name,
    words: FilterWords,
    limit: Limit = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Remove letters for ever, after asking; export them first.

    \b
    Examples:
      penstock dlq purge discogs-table --reason not_json --older-than 30d
      penstock dlq purge discogs-table --group 3f2a91c07d --yes
    """
    settings, queue = settings_of(context.obj, name), dead_letter_queue(name)
    wanted = words.filter(name, settings)

    async def work(manner: Manner, tally: Tally) -> Tally:
        return await purge(settings, queue, wanted, manner, tally=tally)

    manner = Manner(limit=limit, dry_run=dry_run)
    if not (yes or dry_run):
        found = _counted(work, replace(manner, dry_run=True), Tally(queue))
        if found.done:
            typer.confirm(
                f"remove {found.done:,} of {found.looked_at:,} letters of {queue} for ever?", abort=True, err=True
            )
        # No more than was asked for, whatever has come since.
        manner = replace(manner, limit=found.done or None, dry_run=not found.done)
    carry_out(work, manner, Tally(queue), f"{'would be ' if dry_run else ''}removed for ever", as_json)


def settings_of(session: Session, name: str) -> Settings:
    """Read the settings of a worker, for a command whose output is its result."""
    settings = session.settings(name)
    session.log_as_command(settings)
    return settings


def carry_out(work: Work, manner: Manner, tally: Tally, verb: str, as_json: bool) -> None:
    """Do it, with a bar or lines of progress, and say what was done, however it ends."""
    try:
        _counted(work, manner, tally)
    finally:
        say(tally, verb, as_json)


def say(tally: Tally, verb: str, as_json: bool) -> None:
    """Print what has become of letters."""
    if as_json:
        typer.echo(orjson.dumps(tally.as_json()))
        return
    typer.echo(f"{tally.done:,} of {tally.matched:,} letters that are meant {verb}; {tally.looked_at:,} looked at")
    for reason, count in tally.left.items():
        typer.echo(f"{count:,} left: {_LEFT[reason]}")


def _counted(work: Work, manner: Manner, tally: Tally) -> Tally:
    async def action() -> None:
        with progress(None) as report:
            await work(replace(manner, report=report), tally)

    run_to_its_end(action())
    return tally
