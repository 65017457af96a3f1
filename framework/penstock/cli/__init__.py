"""The command `penstock`. One file holds a command or two; `application.py` puts them together."""

from __future__ import annotations

import sys
import traceback
from typing import TYPE_CHECKING, NoReturn

import typer

from penstock.cli.application import application, refuse_misplaced
from penstock.cli.session import Session
from penstock.errors import PenstockError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and exit: 0 done, 1 failed, 2 used wrongly. Errors are one line on standard error."""
    session = Session()
    try:
        refuse_misplaced(sys.argv[1:] if arguments is None else arguments)
        application()(args=arguments, prog_name="penstock", obj=session)
    except PenstockError as error:
        complain(session, str(error))
        sys.exit(2 if isinstance(error, UsageError) else 1)
    except Exception as error:  # noqa: BLE001 - the last resort: people get a line, and a traceback only if they want it
        complain(session, f"unexpected {type(error).__name__}: {error}")
        if session.debug:
            typer.echo(session.redact(traceback.format_exc()), err=True)
        else:
            typer.echo("penstock: run with --log-level debug for the traceback", err=True)
        sys.exit(1)
    sys.exit(0)


def complain(session: Session, problem: str) -> None:
    """Print one line on standard error, without secrets."""
    typer.echo(f"penstock: {' '.join(session.redact(problem).split())}", err=True)
