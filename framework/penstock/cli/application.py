"""The commands put together, and the options they share."""

from __future__ import annotations

import shlex
from enum import StrEnum
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.check import check
from penstock.cli.demo import demo
from penstock.cli.dlq import dlq_commands
from penstock.cli.drill import drill
from penstock.cli.k8s import k8s
from penstock.cli.ledger import ledger_commands
from penstock.cli.listing import list_installed
from penstock.cli.outbox import outbox_commands
from penstock.cli.publish import publish_commands
from penstock.cli.run import run
from penstock.cli.spill import spill_commands
from penstock.cli.stack import stack_commands
from penstock.cli.up import up
from penstock.cli.validate import validate
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.cli.session import Session


class LogLevel(StrEnum):
    """What --log-level takes."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    """What --log-format takes."""

    JSON = "json"
    CONSOLE = "console"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"penstock {version('penstock')}")
        raise typer.Exit


Level = Annotated[
    LogLevel | None,
    typer.Option(
        "--log-level",
        metavar="LEVEL",
        case_sensitive=False,
        help="Log debug, info, warning or error, and what is graver (else LOG_LEVEL, else info).",
    ),
]
Format = Annotated[
    LogFormat | None,
    typer.Option(
        "--log-format",
        metavar="FORMAT",
        case_sensitive=False,
        help="Log json or console (else LOG_FORMAT, else console on a terminal and json elsewhere).",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option("--config", metavar="FILE", help="Settings in YAML (else PENSTOCK_CONFIG). The environment wins."),
]
Version = Annotated[
    bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Say which version this is and stop.")
]


#: These stand before the command.
_GLOBAL = ("--config", "--log-level", "--log-format")


def refuse_misplaced(arguments: Sequence[str]) -> None:
    """Raise UsageError for a global option behind the command, with the order that works."""
    words = iter(arguments)
    for command in words:
        if command in _GLOBAL:
            next(words, None)
        elif not command.startswith("-"):
            break
    behind = list(words)
    behind = behind[: behind.index("--")] if "--" in behind else behind
    for position, word in enumerate(behind):
        option, given, _ = word.partition("=")
        if option in _GLOBAL:
            end = position + (1 if given else 2)
            rest = [command, *behind[:position], *behind[end:]]
            text = f"penstock {shlex.join([*behind[position:end], *rest])}"
            raise UsageError(f"put {option} before the command: {text}")


def application() -> typer.Typer:
    """Return the whole command line; call it with a Session as `obj`."""
    app = typer.Typer(
        name="penstock",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_global_options)
    app.command("run")(run)
    app.command("up")(up)
    app.command("list")(list_installed)
    app.command("validate")(validate)
    app.command("check")(check)
    app.add_typer(publish_commands(), name="publish")
    app.add_typer(outbox_commands(), name="outbox")
    app.add_typer(dlq_commands(), name="dlq")
    app.add_typer(ledger_commands(), name="ledger")
    app.command("demo")(demo)
    app.command("drill")(drill)
    app.add_typer(spill_commands(), name="spill")
    app.add_typer(stack_commands(), name="stack")
    app.command("k8s")(k8s)
    return app


def _global_options(
    context: typer.Context,
    log_level: Level = None,
    log_format: Format = None,
    config: Config = None,
    version: Version = False,  # noqa: ARG001 - its callback has answered by now
) -> None:
    """Carry messages from RabbitMQ into PostgreSQL and Neo4j, and lose none.

    Settings come from the environment and a YAML file: RABBITMQ_HOST,
    POSTGRES_PASSWORD, NEO4J_URL and so on; any setting as PENSTOCK_SECTION__KEY;
    any secret out of a file, as in POSTGRES_PASSWORD_FILE.

    \b
    Examples:
      penstock demo
      penstock list
      penstock validate && penstock check
      penstock publish discogs /data/dump
      penstock run discogs-table
      penstock --log-format console up discogs-table discogs-graph

    Exit codes: 0 done, 1 failed, 2 used wrongly.
    """
    session: Session = context.obj
    session.config = config
    if log_level:
        session.overrides["PENSTOCK_LOG__LEVEL"] = log_level.value
    if log_format:
        session.overrides["PENSTOCK_LOG__FORMAT"] = log_format.value
