"""The records of the input as messages: published in two parts, or all at once."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

from penstock.errors import UsageError
from penstock.publish_link import publish_all
from penstock.source import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from penstock.broker import TopologyMode
    from penstock.reader import Outgoing, Reader
    from penstock.settings import RabbitMQ
    from penstock.topology import Topology

#: Up to so many records are counted beforehand; of more, the first part is FIRST_OF_MANY.
COUNTED = 10_000
FIRST_OF_MANY = 5_000


class Input:
    """Files that are read again from their beginning for each pass, a message at a time."""

    def __init__(self, reader: Reader, path: Path) -> None:
        """Raises UsageError where `path` cannot be read twice, or holds nothing for the reader."""
        if not (path.is_file() or path.is_dir()):
            what = "is neither a file nor a folder" if path.exists() else "does not exist"
            raise UsageError(f"--input {path} {what}: name a folder with the files to publish")
        self._reader = reader
        self._path = path
        self._files: Sequence[Path] = reader.files(path)

    def first_part(self) -> int:
        """Return how many records go before the outage. Raises UsageError where there are not enough for two parts."""
        count = sum(1 for _ in islice(self._messages(), COUNTED + 1))
        if count < 2:  # noqa: PLR2004 - one before the outage and one in it
            held = "one record only" if count else "no record"
            raise UsageError(f"--input {self._path} holds {held}: the demo needs two at the least")
        return count // 2 if count <= COUNTED else FIRST_OF_MANY

    def begin(self) -> Pass:
        """Begin to read it all."""
        return Pass(self._messages())

    def _messages(self) -> Iterator[Outgoing]:
        for file in self._files:
            with open_source(file) as source:
                yield from self._reader.read(source.stream, source.name)


class Pass:
    """One reading of the input. `counts` is what was published of each routing key, confirmed by the broker."""

    def __init__(self, messages: Iterator[Outgoing]) -> None:
        self.counts: Counter[str] = Counter()
        self._messages = messages

    @property
    def total(self) -> int:
        """All that was published so far."""
        return self.counts.total()

    async def publish(
        self,
        settings: RabbitMQ,
        topologies: Mapping[Topology, TopologyMode],
        on_progress: Callable[[int], None],
        number: int | None = None,
    ) -> None:
        """Publish the next `number` messages, or all that are left, and count them.

        Raises what publish_all raises; then nothing of this part is counted. `on_progress` is told how many are
        confirmed in the pass so far.
        """
        sent: Counter[str] = Counter()
        before = self.total

        def counted() -> Iterator[Outgoing]:
            for message in islice(self._messages, number):
                sent[message.routing_key] += 1
                yield message

        # A broker that does not confirm one of them raises.
        await publish_all(
            settings, topologies, counted(), on_progress=lambda confirmed: on_progress(before + confirmed)
        )
        self.counts += sent
