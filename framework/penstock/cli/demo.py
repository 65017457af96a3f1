"""`penstock demo`: everything at work, on servers of its own."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.output import show_table
from penstock.cli.stack import env_command, stack_below, stack_command
from penstock.demo.environment import forget_past_settings
from penstock.demo.progress import display
from penstock.demo.publishing import Input
from penstock.demo.report import contents, result_line
from penstock.demo.runner import Interrupted, run
from penstock.demo.script import Script
from penstock.demo.stage import Stage
from penstock.discovery import demo_names, load_demo, load_reader, load_worker
from penstock.errors import UsageError
from penstock.settings import load
from penstock.settings_shown import secrets

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from penstock.cli.session import Session
    from penstock.demo.progress import Display
    from penstock.demo.script import Result
    from penstock.settings import Settings

Name = Annotated[str | None, typer.Argument(metavar="[NAME]", help="A demo; not needed where only one is installed.")]
Source = Annotated[
    Path | None, typer.Option("--input", metavar="DIR", help="Publish the records of this folder, not the sample.")
]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the stack and the workers running.")]


def demo(context: typer.Context, name: Name = None, source: Source = None, keep: Keep = False) -> None:
    """See it all at work: real records, two workers, an outage in the middle, and nothing lost.

    It starts a broker, a PostgreSQL and a graph of its own, and ends and removes them
    afterwards; your settings and servers stay as they are. The last line on standard
    output is the result as JSON.

    \b
    Examples:
      penstock demo
      penstock demo --input /data/discogs
      penstock demo --keep
    """
    start = time.monotonic()
    session: Session = context.obj
    stack = stack_below(None, "demo")
    script = _script(session, name, source)
    forget_past_settings(os.environ)
    with _only_one(stack.folder.parent), display() as screen:
        stage = Stage(stack, screen.say)
        try:
            result = asyncio.run(run(script, stage, screen, _present, redact=session.redact, keep=keep))
        except Interrupted as interrupted:
            raise typer.Exit(128 + interrupted.number) from None  # as shells tell the end by a signal
        if keep:
            _say_what_is_kept(stage, screen)
    typer.echo(result_line(result.tally, time.monotonic() - start))


def _only_one(folder: Path) -> AbstractContextManager[None]:
    # Here, as the stack: it may not be installed.
    from penstock.embedded.folder import held  # noqa: PLC0415

    busy = f"another demo is running, in {folder}: wait for its end, or end it by Ctrl-C"
    return held(folder, mend="name a folder for the user's data in XDG_DATA_HOME", busy=busy)


def _script(session: Session, name: str | None, source: Path | None) -> Script:
    if session.config is not None:
        raise UsageError("penstock demo has settings and servers of its own: leave --config out")
    declaration = load_demo(name or _only_demo())
    records = Input(load_reader(declaration.reader), source or declaration.sample)
    log = load(None, None, session.overrides)
    session.log_as_command(log)

    def learn_secrets(settings: Settings) -> None:
        session.known_secrets |= secrets(settings)
        session.log_as_command(log)

    return Script(
        demo=declaration,
        workers=(load_worker(declaration.table_worker), load_worker(declaration.graph_worker)),
        input=records,
        first_part=records.first_part(),
        environ=os.environ,
        debug=session.debug,
        on_settings=learn_secrets,
    )


def _only_demo() -> str:
    match demo_names():
        case [name]:
            return name
        case []:
            raise UsageError("no demo is installed: pip install 'penstock[embedded]'")
        case names:
            raise UsageError(f"there are several demos; name one: {', '.join(names)}")


def _present(result: Result) -> None:
    typer.echo("What the stores hold:")
    show_table(("what", "name", "count"), contents(result.tally))
    for query, answer in result.answers:
        typer.echo(f"\n{query.title}:\n{query.statement}")
        show_table(query.headings, ([str(value) for value in row] for row in answer))
    typer.echo()


def _say_what_is_kept(stage: Stage, screen: Display) -> None:
    screen.say(f"the stack and the workers stay up, with their data in {stage.stack.folder}")
    for worker in stage.workers:
        screen.say(f"{worker.name} answers at {worker.address}/health and {worker.address}/metrics")
    screen.say(f"to point other commands at the stack: {env_command(stage.stack)}")
    screen.say(f"to end it all: {stack_command(stage.stack)} down --remove")
