"""`penstock stack`: the embedded servers, kept running."""

from __future__ import annotations

import asyncio
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.interrupt import run_to_its_end
from penstock.cli.output import show_table
from penstock.errors import UsageError

if TYPE_CHECKING:
    from penstock.embedded.stack import Stack

Folder = Annotated[
    Path | None,
    typer.Option(
        "--folder",
        metavar="DIR",
        envvar="PENSTOCK_STACK",
        readable=False,  # what is wrong with it is told by the command, in a line
        help="Where its data is (else the folder penstock/stack of the user's data, XDG_DATA_HOME).",
    ),
]
Remove = Annotated[bool, typer.Option("--remove", help="Delete its data as well.")]


def stack_commands() -> typer.Typer:
    """Return the group `stack`."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=_HELP)
    group.callback()(_choose_folder)
    group.command("up")(up)
    group.command("down")(down)
    group.command("status")(status)
    group.command("env")(env)
    return group


_HELP = """Keep a broker, a PostgreSQL and a graph running, out of pip packages alone: for development on ONE machine.

Loopback, free ports, generated passwords. One copy of the data, no backups: no place for data that matters.

\b
Examples:
  penstock stack up
  eval "$(penstock stack env)"    # points every other command at it
  penstock check
  penstock stack down --remove
"""


def _choose_folder(context: typer.Context, folder: Folder = None) -> None:
    context.meta["penstock.folder"] = folder


def up(context: typer.Context) -> None:
    """Start what does not run, and wait until all of it answers."""
    stack = _stack(context)
    run_to_its_end(stack.up(_say))
    _say(f"the stack is up; point other commands at it: {env_command(stack)}")


def down(context: typer.Context, remove: Remove = False) -> None:
    """End all of it; the data stays, unless --remove."""
    stack = _stack(context)
    run_to_its_end(stack.down(_say))
    if remove and stack.folder.exists():
        stack.remove()
        left = ", but for what is not the stack's" if stack.folder.exists() else ""
        _say(f"removed {stack.folder}{left}")


def status(context: typer.Context) -> None:
    """Say how each server is. The exit code is 1 unless all are up."""
    found = asyncio.run(_stack(context).status())
    columns = ("server", "state", "pid", "address", "note")
    show_table(columns, ((one.name, one.state, str(one.pid or "-"), one.address, one.note) for one in found))
    raise typer.Exit(0 if all(one.state == "up" for one in found) else 1)


def env(context: typer.Context) -> None:
    """Print the settings that point every command at the stack, passwords included, as a shell takes them.

    Other variables that would win over these, or name a file that must then be there, are unset.
    """
    stack = _stack(context)
    settings = stack.environment()
    if not stack.running():
        _say("not all of the stack runs: penstock stack status says more")
    for name, value in settings.items():
        typer.echo(f"export {name}={shlex.quote(value)}")
        section = name.removesuffix("_URL")
        own = [f"PENSTOCK_{section}__{key}" for key in ("URL", "URL_FILE", "PASSWORD_FILE")]
        typer.echo(f"unset {shlex.join([f'{name}_FILE', f'{section}_PASSWORD_FILE', *own])}")


def env_command(stack: Stack) -> str:
    """Return what to type to point a shell's commands at a stack."""
    return f'eval "$({stack_command(stack)} env)"'


def stack_command(stack: Stack) -> str:
    """Return `penstock stack`, with the folder where it is not the usual one."""
    from penstock.embedded.stack import data_folder  # noqa: PLC0415 - see stack_below

    usual = stack.folder == (data_folder() / "stack").resolve()
    return "penstock stack" if usual else f"penstock stack --folder {shlex.quote(str(stack.folder))}"


def stack_below(folder: Path | None, name: str) -> Stack:
    """Return the stack in `folder`, else in the folder `name` of the user's data. Raises UsageError."""
    try:
        # Here, since all other commands do without it and it may not be installed.
        from penstock.embedded.stack import Stack, data_folder  # noqa: PLC0415
    except ModuleNotFoundError as error:
        text = f"the embedded stack needs {error.name}, which is not installed: pip install 'penstock[embedded]'"
        raise UsageError(text) from error
    return Stack(folder or data_folder() / name)


def _stack(context: typer.Context) -> Stack:
    return stack_below(context.meta["penstock.folder"], "stack")


def _say(text: str) -> None:
    typer.echo(f"penstock: {text}", err=True)
