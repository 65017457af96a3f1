"""`penstock drill`: break real servers on purpose, and count what was lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.interrupt import Interrupt
from penstock.cli.output import show_table
from penstock.errors import UsageError
from penstock.settings import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.cli.session import Session
    from penstock.drill.definition import Drill, Scale

#: Drills at a time: with more of them two cores are busy all the time, and the limits of time mean nothing.
LANES = 2

Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Drills; all of them if none.")]
List = Annotated[bool, typer.Option("--list", help="Print the names of all drills and what each does; run none.")]
Quick = Annotated[
    bool, typer.Option("--quick", envvar="QUICK", help="Most drills, 2,000 messages each, and faults a tenth as long.")
]
Messages = Annotated[int | None, typer.Option("--messages", min=200, help="Messages of each drill (else 20,000).")]
Side = Annotated[
    int | None,
    typer.Option("--lanes", envvar="LANES", min=1, help="Drills side by side, each lane with servers of its own (2)."),
]


def drill(
    context: typer.Context,
    names: Names = None,
    list_only: List = False,
    quick: Quick = False,
    messages: Messages = None,
    lanes: Side = None,
) -> None:
    """Break servers under load on purpose, and count in the sinks what was lost: nothing is.

    It starts a RabbitMQ, a PostgreSQL and a Neo4j of its own (in Docker, or those
    installed here), stops, kills, freezes and cuts them off, and ends them afterwards;
    your settings and servers stay as they are. Two drills run at a time: most wait for
    a server. The last line on standard output is the result as JSON.

    \b
    Examples:
      penstock drill --list
      penstock drill --quick
      penstock drill sink-killed broker-killed
      QUICK=1 penstock drill

    Exit codes: 0 nothing lost, 1 something lost, duplicated or dead-lettered, or a
    drill that failed, 2 used wrongly.
    """
    session: Session = context.obj
    if session.config is not None:
        raise UsageError("penstock drill has settings and servers of its own: leave --config out")
    session.log_as_command(load(None, None, session.overrides))
    drills, scale = _asked(names or [], messages, quick=quick)
    if list_only:
        show_table(("drill", "what is done"), ((one.name, one.title) for one in drills))
        return
    _run(drills, scale, min(lanes or LANES, len(drills)))


def _asked(names: Sequence[str], messages: int | None, *, quick: bool) -> tuple[list[Drill], Scale]:
    # Here: what the drills need is in an extra of its own.
    try:
        from penstock.drill.definition import FULL, QUICK, Scale  # noqa: PLC0415
        from penstock.drill.registry import find  # noqa: PLC0415
    except ModuleNotFoundError as error:
        text = f"the drills need {error.name}, which is not installed: pip install 'penstock[drill]'"
        raise UsageError(text) from error
    usual = QUICK if quick else FULL
    drills = find(names)
    if quick and not names:
        left_out = [drill.name for drill in drills if not drill.quick]
        drills = [drill for drill in drills if drill.quick]
        typer.echo(f"left out of a quick run, unless named: {', '.join(left_out) or 'none'}", err=True)
    return drills, Scale(messages or usual.messages, usual.time)


def _run(drills: Sequence[Drill], scale: Scale, lanes: int) -> None:
    from penstock.drill.lanes import Lanes  # noqa: PLC0415 - see _asked
    from penstock.drill.report import good, json_line  # noqa: PLC0415
    from penstock.drill.runner import run  # noqa: PLC0415

    interrupt = Interrupt()
    try:
        with interrupt.watched():
            results = Lanes(lanes, scale, typer.echo).run(drills) if lanes > 1 else run(drills, scale, typer.echo)
    except KeyboardInterrupt:
        typer.echo("penstock: interrupted: what this command has started is ended", err=True)
        raise typer.Exit(128 + interrupt.number) from None  # as shells tell the end by a signal
    typer.echo(json_line(results))
    if not good(results):
        raise typer.Exit(1)
