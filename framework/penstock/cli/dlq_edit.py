"""`penstock dlq edit` and `import`: letters that people have mended, or kept in a file."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.dlq_filter import FilterWords, body_path, dead_letter_queue
from penstock.cli.dlq_replay import Json, say, settings_of
from penstock.cli.interrupt import run_to_its_end
from penstock.cli.names import Name
from penstock.cli.progress import progress
from penstock.deadletter.assign import assigned, indented
from penstock.deadletter.editing import check, edit, mended, the_only
from penstock.deadletter.importing import import_letters, read_letters
from penstock.deadletter.transfer import Tally
from penstock.discovery import load_worker
from penstock.errors import LetterRefused, UsageError
from penstock.source import open_source

if TYPE_CHECKING:
    from penstock.deadletter.view import Letter
    from penstock.settings import Settings
    from penstock.worker import Worker

Position = Annotated[
    int | None, typer.Option("--position", min=0, metavar="N", help="The letter in this place; the oldest has 0.")
]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Set a value of the body instead: number=5, $.items[0].name=x."),
]
Keep = Annotated[bool, typer.Option("--keep", help="Put it back into the DLQ, at its end, and do not replay it.")]
Force = Annotated[bool, typer.Option("--force", help="Even if its row was written after it failed.")]
File = Annotated[Path, typer.Argument(metavar="FILE", help="Lines of JSON, gzipped or not; - is standard input.")]


def edit_letter(
    context: typer.Context,
    name: Name,
    words: FilterWords,
    position: Position = None,
    sets: Sets = None,
    keep: Keep = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Mend the body of one letter in $EDITOR, or with --set, and replay it.

    The worker's model checks it first: what it would refuse is not sent, and the letter stays as it was. The key
    stays the same, so that the message is one event as before.

    \b
    Examples:
      penstock dlq edit discogs-table --position 0
      penstock dlq edit discogs-table --key 5d41402abc4b2a76 --set year=1998 --set $.artists[0].name=Trio
    """
    worker = load_worker(name.removesuffix(".dlq"))
    settings = settings_of(context.obj, worker.name)
    wanted, tally = words.filter(worker.name, settings), Tally(worker.dead_letter_queue)
    assignments = [_assignment(word) for word in sets or ()]
    chosen: list[Letter] = []

    async def choose() -> None:
        chosen.append(await the_only(settings, worker.dead_letter_queue, wanted, position))

    run_to_its_end(choose())
    [letter] = chosen
    body = assigned(letter.body, assignments) if assignments else _in_editor(worker, settings, letter)

    async def action() -> None:
        await edit(worker, settings, letter, body, keep=keep, force=force, tally=tally)

    run_to_its_end(action())
    if as_json:
        say(tally, "", as_json)
        return
    where = f"put back into {worker.dead_letter_queue}" if keep else f"replayed to {worker.queue}"
    typer.echo(f"the letter with key {letter.key or 'of its old body'} was edited and {where}")


def _assignment(word: str) -> tuple[str, str]:
    path = body_path(word)
    if path.value is None:
        raise UsageError(f"--set: write PATH=VALUE, not {word}")
    return path.path, path.value


def _in_editor(worker: Worker, settings: Settings, letter: Letter) -> bytes:
    """The body as somebody has mended it; asked again while the worker would refuse it. Raises LetterRefused."""
    editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ("vi" if sys.stdin.isatty() else "")
    if not editor:
        raise UsageError("there is no terminal for an editor: use --set, or set EDITOR")
    shown = indented(letter.body)
    text = shown
    while True:
        text = _edited(text, editor)
        if text.rstrip(b"\n") == shown.rstrip(b"\n"):
            raise LetterRefused("nothing was changed: the letter is as it was")
        # Editors end the last line; the body did not.
        body = text if shown.endswith(b"\n") else text.rstrip(b"\n")
        try:
            check(worker, settings, mended(worker, letter, body))
        except LetterRefused as error:
            if not sys.stdin.isatty() or not typer.confirm(f"{error}. Edit it again?", err=True):
                raise
        else:
            return body


def _edited(text: bytes, editor: str) -> bytes:
    """What somebody makes of a text in an editor. Raises UsageError where it cannot be run, LetterRefused."""
    with tempfile.TemporaryDirectory(prefix="penstock-") as folder:
        path = Path(folder) / "letter.json"
        path.write_bytes(text)
        try:
            ended = subprocess.run([*shlex.split(editor), str(path)], check=False).returncode
        except (OSError, ValueError) as error:
            raise UsageError(f"the editor {editor!r} cannot be run ({error}): set EDITOR") from error
        if ended:
            raise LetterRefused(f"the editor ended with {ended}: the letter is as it was")
        return path.read_bytes()


def import_file(context: typer.Context, name: Name, file: File, as_json: Json = False) -> None:
    """Put letters that were exported back into the DLQ, each confirmed; all lines are checked before the first is sent.

    \b
    Examples:
      penstock dlq import discogs-table letters.jsonl
      jq -c 'select(.reason == "invalid")' letters.jsonl | penstock dlq import discogs-table -
    """
    settings, queue = settings_of(context.obj, name), dead_letter_queue(name)
    tally = Tally(queue)

    # A copy, so that it can be read twice, whatever it comes from.
    with open_source(file) as source, tempfile.TemporaryFile() as copy:
        shutil.copyfileobj(source.stream, copy)

        async def action() -> None:
            copy.seek(0)
            for _ in read_letters(copy, source.name):
                pass
            copy.seek(0)
            with progress(None) as report:
                await import_letters(settings, queue, read_letters(copy, source.name), report=report, tally=tally)

        try:
            run_to_its_end(action())
        finally:
            say(tally, f"imported into {queue}", as_json)
