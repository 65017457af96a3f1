"""`penstock run`: one worker, in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import structlog
import typer

from penstock import event_loop
from penstock.cli.advice import advice_on_variables
from penstock.cli.names import Name
from penstock.discovery import load_worker
from penstock.running import run_worker

if TYPE_CHECKING:
    from penstock.cli.session import Session
    from penstock.settings import Settings

log = structlog.get_logger(__name__)

Drain = Annotated[bool, typer.Option("--drain", help="Stop when the queue is empty and everything is settled.")]
Port = Annotated[
    int | None,
    typer.Option(
        "--port",
        min=0,
        max=65_535,
        help="Serve /livez, /readyz, /health, /metrics and /version there; 0: any free port.",
    ),
]


def run(context: typer.Context, name: Name, drain: Drain = False, port: Port = None) -> None:
    """Run a worker until SIGTERM or Ctrl-C, then finish what is held and stop.

    It waits for servers that are away. What cannot be written in time goes back
    to the queue. SIGHUP reads the settings again: batch and prefetch change while
    it runs.

    \b
    Examples:
      penstock run discogs-table
      penstock run discogs-graph --drain
      penstock --config penstock.yaml run discogs-table --port 0
    """
    session: Session = context.obj
    if port is not None:
        session.overrides["PENSTOCK_HTTP__PORT"] = str(port)
    worker = load_worker(name)

    def read_settings() -> Settings:
        settings = session.settings(name)
        session.log_as_process(settings)
        for warning in advice_on_variables(settings, session.environ()):
            log.warning("variable_not_read", problem=warning)
        return settings

    code = event_loop.run(run_worker(worker, read_settings(), drain=drain, reload=read_settings))
    raise typer.Exit(code)
