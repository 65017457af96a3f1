"""The reader of JSON Lines: one message a line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from penstock.errors import UsageError
from penstock.reader import Outgoing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from typing import BinaryIO

#: The longest line in bytes, so that a file without line ends cannot fill the memory: what RabbitMQ 3 takes by default.
LONGEST_LINE = 128 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class JsonLines:
    """Sends each line that is not blank, as it is, to `exchange` with `routing_key`."""

    exchange: str
    routing_key: str

    def files(self, path: Path) -> Sequence[Path]:
        """`path` itself. Raises UsageError where it is a folder."""
        if path.is_dir():
            raise UsageError(f"{path}: is a folder; name a file of JSON lines, or - for standard input")
        return (path,)

    def read(self, stream: BinaryIO, name: str) -> Iterator[Outgoing]:
        """One message a line, without its line end. Raises UsageError, naming file and line, on what is not JSON."""
        for _, line, _ in json_lines(stream, name):
            yield Outgoing(self.exchange, self.routing_key, line)


def json_lines(stream: BinaryIO, name: str) -> Iterator[tuple[int, bytes, Any]]:
    """The lines that are not blank: number, line without its end, what it says. Raises UsageError as `read` does."""
    number = 0
    while line := stream.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE:
            raise UsageError(f"{name}, line {number}: longer than the {LONGEST_LINE} bytes RabbitMQ takes")
        body = line.rstrip(b"\r\n")
        if not body.strip():
            continue
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError as error:
            raise UsageError(f"{name}, line {number}: not JSON: {error}") from error
        yield number, body, document
