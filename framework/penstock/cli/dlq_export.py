"""`penstock dlq export`: letters as JSON Lines, with nothing lost."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import orjson
import typer

from penstock.cli.dlq_filter import FilterWords, dead_letter_queue
from penstock.cli.interrupt import run_to_its_end
from penstock.cli.names import Name
from penstock.deadletter.browse import browsing
from penstock.deadletter.letter_json import letter_to_json
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from penstock.cli.session import Session

Output = Annotated[
    Path | None, typer.Option("--output", metavar="FILE", help="A new file to write (else standard output).")
]
Most = Annotated[int | None, typer.Option("--limit", min=1, help="Letters at most.")]


def export(context: typer.Context, name: Name, words: FilterWords, output: Output = None, limit: Most = None) -> None:
    """Write letters as lines of JSON, oldest first, which penstock dlq import reads. Changes nothing.

    Each line has the whole message: headers and properties of every type, and the body, in base64 where it is not
    UTF-8.

    \b
    Examples:
      penstock dlq export discogs-table > letters.jsonl
      penstock dlq export discogs-table --reason invalid --output invalid.jsonl
    """
    session: Session = context.obj
    settings = session.settings(name)
    session.log_as_command(settings)
    wanted, queue = words.filter(name, settings), dead_letter_queue(name)

    async def action() -> None:
        written, now = 0, time.time()
        with _opened(output) as stream:
            async with browsing(settings.rabbitmq, queue) as letters:
                async for held in letters:
                    if not wanted.matches(held.letter, now):
                        continue
                    stream.write(orjson.dumps(letter_to_json(held.letter)) + b"\n")
                    written += 1
                    if written == limit:
                        break
        typer.echo(f"penstock: {written:,} of {letters.ready:,} letters exported", err=True)

    run_to_its_end(action())


@contextmanager
def _opened(output: Path | None) -> Iterator[BinaryIO]:
    """A new file, on the disk when the block ends and gone where that fails; or standard output. Raises UsageError."""
    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    try:
        stream = output.open("xb")
    except FileExistsError as error:
        raise UsageError(f"--output: {output} exists already: name a new file") from error
    except OSError as error:
        raise UsageError(f"--output: {output} cannot be written: {error.strerror}") from error
    try:
        with stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
    except BaseException:
        # A part of the letters must not pass for all of them.
        output.unlink(missing_ok=True)
        raise
