"""`penstock publish`: files into RabbitMQ, each message confirmed."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from penstock.cli.progress import progress
from penstock.discovery import load_reader, load_worker, reader_names, worker_names
from penstock.errors import UsageError
from penstock.jsonl import JsonLines
from penstock.publisher import publish_all
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
      jq -c .[] orders.json | penstock publish jsonl - --exchange shop --routing-key order
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
    queues = {worker: session.settings(worker.name).queue for worker in _bound_to(reader.exchange)}
    topologies = {topology_of(worker, queue): queue.topology for worker, queue in queues.items()}
    start = time.monotonic()
    with progress(total) as report:
        reading = _Reading(reader, files, report)
        confirmed = asyncio.run(
            publish_all(settings.rabbitmq, topologies, reading.messages(), on_progress=reading.confirm)
        )
    counts = ", ".join(f"{key} {count:,}" for key, count in sorted(reading.counts.items()))
    took = f"{time.monotonic() - start:.1f} s"
    typer.echo(f"published {confirmed:,} messages to {reader.exchange} in {took}: {counts or 'nothing to send'}")


class _Reading:
    """The messages of files, counted as they go by."""

    def __init__(self, reader: Reader, files: Sequence[Path], report: Report) -> None:
        self.counts: Counter[str] = Counter()
        self._reader = reader
        self._files = files
        self._report = report
        self._confirmed = 0

    def messages(self) -> Iterator[Outgoing]:
        before = 0
        for file in self._files:
            with open_source(file) as source:
                for message in self._reader.read(source.stream, source.name):
                    self.counts[message.routing_key] += 1
                    self._report(file.name, before + source.consumed, self._confirmed)
                    yield message
                before += source.consumed

    def confirm(self, confirmed: int) -> None:
        self._confirmed = confirmed


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
