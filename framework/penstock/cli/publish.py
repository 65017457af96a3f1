"""`penstock publish`: files into RabbitMQ, each message confirmed."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from penstock import event_loop
from penstock.cli.interrupt import Interrupt
from penstock.cli.progress import progress
from penstock.discovery import load_reader, load_worker, reader_names, worker_names
from penstock.errors import UsageError
from penstock.jsonl import JsonLines
from penstock.publish_link import publish_all
from penstock.source import open_source
from penstock.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from penstock.cli.progress import Report
    from penstock.cli.session import Session
    from penstock.reader import Outgoing, Reader
    from penstock.worker import Worker

Source = Annotated[Path, typer.Argument(metavar="PATH", help="A file or folder, gzipped or not; - is standard input.")]
Lines = Annotated[Path, typer.Argument(metavar="FILE", help="A file, gzipped or not; - is standard input.")]
Exchange = Annotated[str, typer.Option("--exchange", help="The exchange to publish to.")]
RoutingKey = Annotated[str, typer.Option("--routing-key", help="The routing key of every message.")]


def publish_commands() -> typer.Typer:
    """Return the group `publish`, with a command for each reader that is installed."""
    group = typer.Typer(no_args_is_help=True, rich_markup_mode="rich", help=_HELP)
    group.command("jsonl")(jsonl)
    for name in reader_names():
        group.command(name, help=_READER_HELP.format(name=name))(_reader_command(name))
    return group


_HELP = """Publish the records of files: persistent, and each confirmed by the broker.

The queues of the workers that are bound to the exchange are made first, so that nothing is published past them.

\b
Examples:
  penstock publish discogs /data/discogs_20200801_artists.xml.gz
  penstock publish jsonl orders.jsonl --exchange shop --routing-key order
"""

_READER_HELP = """Publish what the reader {name} makes of a file or a folder.

Memory use does not grow with the size of the file. The last line counts the messages of each routing key.

\b
Examples:
  penstock publish {name} /data/dump
  zcat dump.gz | penstock publish {name} -
"""


def jsonl(context: typer.Context, file: Lines, exchange: Exchange, routing_key: RoutingKey) -> None:
    """Publish a file of JSON lines, one message a line.

    \b
    Examples:
      penstock publish jsonl orders.jsonl --exchange shop --routing-key order
      jq -c '.[]' orders.json | penstock publish jsonl - --exchange shop --routing-key order
    """
    _publish(context.obj, JsonLines(exchange, routing_key), file)


def _reader_command(name: str) -> Callable[[typer.Context, Path], None]:
    def command(context: typer.Context, path: Source) -> None:
        _publish(context.obj, load_reader(name), path)

    return command


def _publish(session: Session, reader: Reader, path: Path) -> None:
    settings = session.settings()
    session.log_as_command(settings)
    files = [path] if str(path) == "-" else reader.files(path)
    total = _size(files)
    bound = {worker: session.settings(worker.name) for worker in _bound_to(reader.exchange)}
    topologies = {topology_of(worker, one): one.queue.topology for worker, one in bound.items()}
    start = time.monotonic()
    reading = _Reading(reader, files)
    try:
        with progress(total) as reading.report, reading.interrupt.watched():
            confirmed = event_loop.run(
                publish_all(settings.rabbitmq, topologies, reading.messages(), on_progress=reading.confirm)
            )
    except KeyboardInterrupt:
        _interrupted(reading, f"at least {_messages(reading.confirmed)}")
    except Exception:
        if reading.counts:
            _say_how_far(f"at least {_messages(reading.confirmed)}")
        raise
    if reading.interrupt.number:
        _interrupted(reading, _messages(confirmed))
    if reading.failure is not None:
        if reading.counts:
            _say_how_far(_messages(confirmed))
        raise reading.failure
    counts = ", ".join(f"{key} {count:,}" for key, count in sorted(reading.counts.items()))
    target, took = reader.exchange or "the default exchange", f"{time.monotonic() - start:.1f} s"
    typer.echo(f"published {_messages(confirmed)} to {target} in {took}: {counts or 'nothing to send'}")


def _interrupted(reading: _Reading, confirmed: str) -> NoReturn:
    _say_how_far(f"interrupted: {confirmed}")
    raise typer.Exit(128 + reading.interrupt.number)  # as shells tell the end by a signal


def _say_how_far(confirmed: str) -> None:
    safe = "publishing all of it again is safe: the workers recognise what they have had"
    typer.echo(f"penstock: {confirmed} confirmed before it stopped; {safe}", err=True)


def _messages(count: int) -> str:
    return "1 message" if count == 1 else f"{count:,} messages"


class _Reading:
    """The messages of files, counted as they go by.

    They end where a file is broken (`failure`) or at a signal (`interrupt`), as if there were no more: so
    what was sent is confirmed, and counted, before anybody is told.
    """

    def __init__(self, reader: Reader, files: Sequence[Path]) -> None:
        self.counts: Counter[str] = Counter()
        self.confirmed = 0
        self.failure: Exception | None = None
        self.interrupt = Interrupt()
        self.report: Report = _unseen
        self._reader = reader
        self._files = files

    def messages(self) -> Iterator[Outgoing]:
        outgoing = self._outgoing()
        while not self.interrupt.number and (message := self._next(outgoing)) is not None:
            self.interrupt.sending = True
            yield message
        if self.interrupt.number:
            typer.echo("penstock: waiting for what was sent to be confirmed; interrupt again to stop at once", err=True)

    def _next(self, outgoing: Iterator[Outgoing]) -> Outgoing | None:
        try:
            try:
                self.interrupt.reading = True
                return next(outgoing, None)
            finally:
                self.interrupt.reading = False
        except KeyboardInterrupt:
            return None
        except Exception as error:  # noqa: BLE001 - raised again once all that was sent is confirmed
            self.failure = error
            return None

    def _outgoing(self) -> Iterator[Outgoing]:
        before = 0
        for file in self._files:
            with open_source(file) as source:
                for message in self._reader.read(source.stream, source.name):
                    self.counts[message.routing_key] += 1
                    self.report(file.name, before + source.consumed, self.confirmed)
                    yield message
                before += source.consumed

    def confirm(self, confirmed: int) -> None:
        self.confirmed = confirmed


def _unseen(_file: str, _consumed: int, _confirmed: int) -> None:
    """Report to nobody: nothing is shown yet."""


def _size(files: Sequence[Path]) -> int | None:
    """Add up the bytes of all files; None where one is a pipe. Raises UsageError for one that cannot be read."""
    total = 0
    for file in files:
        if str(file) == "-" or file.is_fifo() or file.is_char_device():
            return None
        with open_source(file) as source:
            total += source.size or 0
    return total


def _bound_to(exchange: str) -> list[Worker]:
    """Return the installed workers that take from an exchange; those that cannot be loaded are named on stderr."""
    workers = []
    for name in worker_names():
        try:
            workers.append(load_worker(name))
        except UsageError as error:
            typer.echo(f"penstock: warning: {error} (its queue is not made)", err=True)
    return [worker for worker in workers if any(binding.exchange == exchange for binding in worker.bindings)]
