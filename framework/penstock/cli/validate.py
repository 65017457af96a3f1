"""`penstock validate`: are the settings right? Connects nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.check import sink_of
from penstock.cli.advice import advice, advice_on_variables
from penstock.cli.names import NamesOrAll, load_named_or_all
from penstock.cli.output import show_table
from penstock.discovery import worker_names
from penstock.settings import workers_in_file
from penstock.settings_shown import effective
from penstock.spelling import did_you_mean

if TYPE_CHECKING:
    from penstock.cli.session import Session

DenyWarnings = Annotated[bool, typer.Option("--deny-warnings", help="Exit with 1 if there is a warning.")]
Show = Annotated[bool, typer.Option("--show", help="Print every setting, where it comes from, and no password.")]


def validate(
    context: typer.Context, names: NamesOrAll = None, deny_warnings: DenyWarnings = False, show: Show = False
) -> None:
    """Read the settings and load the workers; connect nowhere.

    The exit code is 2 if a setting is wrong, 1 if there are warnings and they are denied.

    \b
    Examples:
      penstock validate
      penstock --config penstock.yaml validate discogs-table --deny-warnings
      penstock validate discogs-table --show
    """
    session: Session = context.obj
    workers, warnings = load_named_or_all(names)
    for name in workers_in_file(None, session.environ()):
        if name not in worker_names():
            warnings.append(f"the file has settings for {name}, which is no worker{did_you_mean(name, worker_names())}")
    for worker in workers:
        settings = session.settings(worker.name)
        _, endpoints = sink_of(worker, settings)
        if settings.failover.mode is not None and len(endpoints) == 1:
            warnings.append(f"failover.mode is set, and the sink of {worker.name} has no backup to fail over to")
        warnings += [*advice_on_variables(settings, session.environ()), *advice(settings)]
        if show:
            show_table(("setting", "value", "from"), effective(worker.name, None, session.environ()))
        typer.echo(f"{worker.name}: the settings are valid")
    # What all workers share is said once.
    for warning in dict.fromkeys(warnings):
        typer.echo(f"penstock: warning: {session.redact(warning)}", err=True)
    raise typer.Exit(1 if warnings and deny_warnings else 0)
