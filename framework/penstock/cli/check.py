"""`penstock check`: are the servers there, and as the workers need them?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from penstock.check import CheckResult, check_worker
from penstock.cli.advice import advice_on_variables
from penstock.cli.names import NamesOrAll, load_named_or_all
from penstock.cli.output import show_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.cli.session import Session
    from penstock.settings import Settings
    from penstock.worker import Worker


def check(context: typer.Context, names: NamesOrAll = None) -> None:
    """Connect to broker, queue and sink of workers, write nothing, and say what is wrong.

    The exit code is 1 if anything is.

    \b
    Examples:
      penstock check
      penstock check discogs-table
    """
    session: Session = context.obj
    workers, left_out = load_named_or_all(names)
    each = [(worker, session.settings(worker.name)) for worker in workers]
    unread = [text for _, settings in each for text in advice_on_variables(settings, session.environ())]
    for warning in dict.fromkeys([*left_out, *unread]):
        typer.echo(f"penstock: warning: {session.redact(warning)}", err=True)
    session.log_as_command(session.settings())
    results = asyncio.run(_check_all(each))
    show_table(("checked", "result"), ((result.subject, session.redact(_answer(result))) for result in results))
    raise typer.Exit(1 if any(result.problem for result in results) else 0)


def _answer(result: CheckResult) -> str:
    return result.problem or (f"ok; {result.note}" if result.note else "ok")


async def _check_all(each: Sequence[tuple[Worker, Settings]]) -> list[CheckResult]:
    return [result for worker, settings in each for result in await check_worker(worker, settings)]
