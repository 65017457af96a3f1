"""`penstock ledger`: the keys of events that append workers have written, and the old ones removed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import orjson
import typer

from penstock.cli.dlq_letter import moment
from penstock.cli.interrupt import run_to_its_end
from penstock.cli.names import Names
from penstock.cli.output import show_table
from penstock.discovery import load_worker
from penstock.errors import SinkUnavailable
from penstock.failover import together
from penstock.ledger import as_json, keeps_ledger, look, prune

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.cli.session import Session
    from penstock.ledger import LedgerTally
    from penstock.settings import Settings
    from penstock.worker import Worker

    Work = Callable[[Worker, Settings], Awaitable[list[LedgerTally]]]

DryRun = Annotated[bool, typer.Option("--dry-run", help="Remove nothing, and say what would be removed.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]


def ledger_commands() -> typer.Typer:
    """Return the group `ledger`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=_HELP)
    group.command("status")(status)
    group.command("prune")(prune_ledgers)
    return group


_HELP = """Look at the ledgers of workers whose records are events (mode append), and prune them.

A ledger holds the key of each event that was written, so that none is written twice. Keys older than ledger.age
(PENSTOCK_LEDGER__AGE, 30 days) may go: nothing waits as long, and penstock dlq replay refuses older letters.

\b
Examples:
  penstock ledger status drill-ledger
  penstock ledger prune drill-ledger --dry-run
  penstock ledger prune drill-ledger
"""


@dataclass(slots=True)
class _Found:
    """What has become of one worker's ledgers; why it was not to be had is `error`."""

    worker: Worker
    settings: Settings
    tallies: Sequence[LedgerTally] = ()
    error: SinkUnavailable | None = None

    @property
    def kept(self) -> bool:
        """Whether the worker keeps a ledger at all."""
        return keeps_ledger(self.worker, self.settings)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON can say it."""
        endpoints = [as_json(tally) for tally in self.tallies]
        return {"worker": self.worker.name, "keeps_ledger": self.kept, "endpoints": endpoints}


def status(context: typer.Context, names: Names, as_json: Json = False) -> None:
    """Say how many keys the ledgers of workers hold, and from when. Changes nothing.

    Ledgers are read from one end to the other.

    \b
    Examples:
      penstock ledger status drill-ledger
      penstock ledger status drill-ledger --json
    """
    found = _loaded(context.obj, names)

    def show() -> None:
        columns = ("worker", "endpoint", "keys", "oldest", "newest")
        show_table(columns, [row for one in found if one.error is None for row in _rows(one)])

    _carry_out(found, look, show, as_json)


def prune_ledgers(context: typer.Context, names: Names, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove the keys that were entered more than ledger.age before the worker's newest, a little at a time.

    Where a worker stands still its keys stay, for events that came back into its queue. Workers may go on running,
    and another prune as well. Only what is written is pruned: no standby, but both databases of failover.mode
    independent. A worker without a ledger is passed over.

    \b
    Examples:
      penstock ledger prune drill-ledger --dry-run
      penstock ledger prune drill-ledger shop-orders --json
    """
    found = _loaded(context.obj, names)

    async def work(worker: Worker, settings: Settings) -> list[LedgerTally]:
        return await prune(worker, settings, dry_run=dry_run)

    def show() -> None:
        for one in found:
            if one.error is None:
                for line in _lines(one, "would be removed" if dry_run else "removed"):
                    typer.echo(line)

    _carry_out(found, work, show, as_json)


def _loaded(session: Session, names: Sequence[str]) -> list[_Found]:
    """All workers and their settings, before anything is done for the first."""
    found = []
    for name in dict.fromkeys(names):
        worker = load_worker(name)
        settings = session.settings(name)
        session.log_as_command(settings)
        found.append(_Found(worker, settings))
    return found


def _carry_out(found: Sequence[_Found], work: Work, show: Callable[[], None], as_json: bool) -> None:
    """Do it for each worker, whatever becomes of the others, and say it. Raises SinkUnavailable for those that failed.

    What was done before Ctrl-C is said as well.
    """

    async def action() -> None:
        for one in found:
            try:
                one.tallies = await work(one.worker, one.settings)
            except SinkUnavailable as error:
                one.error = error

    run_to_its_end(action())
    if as_json:
        ready = [one.as_json() for one in found if one.error is None]
        typer.echo(orjson.dumps(ready, option=orjson.OPT_INDENT_2))
    else:
        show()
    if errors := [one.error for one in found if one.error is not None]:
        raise together(errors)


def _rows(one: _Found) -> list[tuple[str, ...]]:
    if not one.kept:
        return [(one.worker.name, "no ledger", "-", "-", "-")]
    return [
        (one.worker.name, tally.endpoint, f"{tally.keys:,}", moment(tally.oldest), moment(tally.newest))
        for tally in one.tallies
    ]


def _lines(one: _Found, verb: str) -> list[str]:
    name = one.worker.name
    if not one.kept:
        return [f"{name}: it keeps no ledger (mode {one.worker.mode}), nothing to prune"]
    return [
        f"{name}: {tally.removed:,} of {tally.keys:,} keys {verb} at {tally.endpoint}"
        + (f"; entered before {moment(tally.before)}" if tally.before else "")
        for tally in one.tallies
    ]
