"""`penstock check`: are the servers there, and as the workers need them?"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import typer

from penstock.check import CheckResult, check_worker
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
    for reason in left_out:
        typer.echo(f"penstock: warning: {reason}", err=True)
    each = [(worker, session.settings(worker.name)) for worker in workers]
    session.log_as_command(session.settings())
    results = asyncio.run(_check_all(each))
    show_table(("checked", "result"), ((result.subject, session.redact(result.problem or "ok")) for result in results))
    raise typer.Exit(1 if any(result.problem for result in results) else 0)


async def _check_all(each: Sequence[tuple[Worker, Settings]]) -> list[CheckResult]:
    return [result for worker, settings in each for result in await check_worker(worker, settings)]
