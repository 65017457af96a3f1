"""`penstock validate`: are the settings right? Connects nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.advice import advice
from penstock.cli.names import NamesOrAll, load_named_or_all
from penstock.discovery import worker_names
from penstock.errors import SettingsError
from penstock.settings import workers_in_file
from penstock.spelling import did_you_mean

if TYPE_CHECKING:
    from penstock.cli.session import Session

DenyWarnings = Annotated[bool, typer.Option("--deny-warnings", help="Exit with 1 if there is a warning.")]


def validate(context: typer.Context, names: NamesOrAll = None, deny_warnings: DenyWarnings = False) -> None:
    """Read the settings and load the workers; connect nowhere.

    The exit code is 2 if a setting is wrong, 1 if there are warnings and they are denied.

    \b
    Examples:
      penstock validate
      penstock --config penstock.yaml validate discogs-table --deny-warnings
    """
    session: Session = context.obj
    workers, warnings = load_named_or_all(names)
    for name in workers_in_file(None, session.environ()):
        if name not in worker_names():
            warnings.append(f"the file has settings for {name}, which is no worker{did_you_mean(name, worker_names())}")
    for worker in workers:
        settings = session.settings(worker.name)
        if not worker.endpoints(settings):
            raise SettingsError(f"worker {worker.name} has no endpoint for its sink: its settings name no server")
        worker.sink(worker, settings)
        warnings += advice(settings)
        typer.echo(f"{worker.name}: the settings are valid")
    # What all workers share is said once.
    for warning in dict.fromkeys(warnings):
        typer.echo(f"penstock: warning: {session.redact(warning)}", err=True)
    raise typer.Exit(1 if warnings and deny_warnings else 0)
