"""`penstock dlq`: what is in the dead-letter queues, and why. Looking changes nothing."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from penstock.cli.dlq_edit import edit_letter, import_file
from penstock.cli.dlq_export import export
from penstock.cli.dlq_filter import FilterWords, dead_letter_queue, names_or_installed, with_filter
from penstock.cli.dlq_letter import letter_text, moment
from penstock.cli.dlq_replay import move_letters, purge_letters, replay_letters
from penstock.cli.interrupt import run_to_its_end
from penstock.cli.names import Name, NamesOrAll
from penstock.cli.output import printable, show_table
from penstock.deadletter.browse import browsing
from penstock.deadletter.groups import Groups, Summary
from penstock.deadletter.letter_json import letter_to_json
from penstock.discovery import worker_names
from penstock.errors import LinkError, TopologyError, UsageError

if TYPE_CHECKING:
    from penstock.cli.session import Session
    from penstock.deadletter.groups import Group
    from penstock.settings import Settings

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
Most = Annotated[int, typer.Option("--limit", min=1, help="Letters to show at most.")]
Position = Annotated[
    int | None, typer.Option("--position", min=0, metavar="N", help="The letter in this place; the oldest has 0.")
]


def dlq_commands() -> typer.Typer:
    """Return the group `dlq`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=_HELP)
    group.command("list")(list_queues)
    group.command("show")(with_filter(show))
    group.command("groups")(groups)
    group.command("export")(with_filter(export))
    group.command("import")(import_file)
    group.command("replay")(with_filter(replay_letters))
    group.command("edit")(with_filter(edit_letter))
    group.command("move")(with_filter(move_letters))
    group.command("purge")(with_filter(purge_letters))
    return group


_HELP = """Look at dead letters, and work with them.

A worker's dead letters are in the queue NAME.dlq. Looking at them leaves order and depth as they are, and counts
against no limit.

\b
Examples:
  penstock dlq list
  penstock dlq groups discogs-table
  penstock dlq show discogs-table --reason invalid --limit 3
  penstock dlq export discogs-table --older-than 7d > old.jsonl
  penstock dlq replay discogs-table --group 3f2a91c07d --dry-run
  penstock dlq edit discogs-table --position 0 --set year=1998
"""


def list_queues(context: typer.Context, names: NamesOrAll = None, as_json: Json = False) -> None:
    """Say how many letters each worker's DLQ has, since when, and for which reasons. Changes nothing.

    All letters are read for that: some seconds for a hundred thousand.

    \b
    Examples:
      penstock dlq list
      penstock dlq list discogs-table --json
    """
    chosen = names_or_installed(names, worker_names)
    found: list[tuple[str, Summary, str]] = []

    async def action() -> None:
        for name in chosen:
            summary, trouble = await _summary(_settings(context.obj, name), dead_letter_queue(name))
            found.append((name, summary, trouble))

    run_to_its_end(action())
    if as_json:
        _print_json([{"worker": name, **summary.as_json(), "trouble": trouble} for name, summary, trouble in found])
        return
    columns = ("worker", "queue", "letters", "oldest", "newest", "reasons")
    show_table(columns, (_row(name, summary, trouble) for name, summary, trouble in found))


async def _summary(settings: Settings, queue: str) -> tuple[Summary, str]:
    """A DLQ in short, and why it could not be looked at."""
    summary = Summary(queue)
    try:
        async with browsing(settings.rabbitmq, queue) as letters:
            async for held in letters:
                summary.add(held.letter)
    except (TopologyError, LinkError) as error:
        return summary, str(error)
    return summary, ""


def _row(name: str, summary: Summary, trouble: str) -> tuple[str, ...]:
    reasons = ", ".join(f"{printable(reason)} {count:,}" for reason, count in summary.reasons.most_common())
    span = summary.span
    count = "-" if trouble else f"{span.count:,}"
    return name, summary.queue, count, moment(span.oldest), moment(span.newest), trouble or reasons or "-"


def groups(context: typer.Context, names: NamesOrAll = None, as_json: Json = False) -> None:
    """Count letters by worker, reason, error class and what their error messages have in common. Changes nothing.

    In a fingerprint, … stands for the values of a message. A group is named by its ID in --group of other commands.

    \b
    Examples:
      penstock dlq groups
      penstock dlq groups discogs-table --json
    """
    chosen = names_or_installed(names, worker_names)
    found, troubles = Groups(), {}
    started = time.monotonic()

    async def action() -> None:
        for name in chosen:
            queue = dead_letter_queue(name)
            try:
                async with browsing(_settings(context.obj, name).rabbitmq, queue) as letters:
                    async for held in letters:
                        found.add(held.letter)
            except TopologyError as error:
                troubles[queue] = str(error)

    run_to_its_end(action())
    seconds = time.monotonic() - started
    listed = found.largest_first()
    letters = sum(group.span.count for group in listed)
    if as_json:
        ready = [group.as_json() for group in listed]
        _print_json({"groups": ready, "letters": letters, "seconds": round(seconds, 3), "troubles": troubles})
        return
    columns = ("group", "worker", "reason", "error class", "letters", "oldest", "newest", "fingerprint")
    show_table(columns, map(_group_row, listed))
    for trouble in troubles.values():
        typer.echo(f"penstock: {trouble}", err=True)
    typer.echo(f"{letters:,} letters in {len(listed):,} groups, read in {seconds:.1f} s")


def _group_row(group: Group) -> tuple[str, ...]:
    texts = (group.worker, group.reason, group.error_class or "-")
    span = group.span
    times = moment(span.oldest), moment(span.newest)
    return group.id, *map(printable, texts), f"{span.count:,}", *times, printable(group.fingerprint) or "-"


def show(
    context: typer.Context,
    name: Name,
    words: FilterWords,
    position: Position = None,
    limit: Most = 5,
    as_json: Json = False,
) -> None:
    """Show letters, oldest first: why they are there, their headers and bodies. Changes nothing.

    With --json each letter is a line, in the form of penstock dlq export.

    \b
    Examples:
      penstock dlq show discogs-table
      penstock dlq show discogs-table --position 17 --json
      penstock dlq show discogs-table --reason invalid --path '$.type=artist'
    """
    settings = _settings(context.obj, name)
    wanted, queue = words.filter(name, settings), dead_letter_queue(name)

    async def action() -> None:
        shown, now = 0, time.time()
        async with browsing(settings.rabbitmq, queue, limit=None if position is None else position + 1) as letters:
            async for held in letters:
                letter = held.letter
                if position not in {None, letter.position} or not wanted.matches(letter, now):
                    continue
                typer.echo(orjson.dumps(letter_to_json(letter)) if as_json else letter_text(letter, now))
                shown += 1
                if shown == limit:
                    break
        if position is not None and position >= letters.ready:
            raise UsageError(f"{queue} has {letters.ready:,} letters: --position counts from 0")
        if not shown and not as_json:
            typer.echo(f"none of the {letters.ready:,} letters in {queue} is meant")

    run_to_its_end(action())


def _settings(session: Session, name: str) -> Settings:
    settings = session.settings(name)
    session.log_as_command(settings)
    return settings


def _print_json(found: object) -> None:
    typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2))
