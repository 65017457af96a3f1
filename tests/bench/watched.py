"""A worker's sink that notes, in a file, when it was ready and when it had written the last record expected."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from bench.meter import cpu_seconds, machine_seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.outcome import Outcome
    from penstock.record import Batch
    from penstock.settings import Settings
    from penstock.sink import Sink
    from penstock.worker import Worker

#: The file, and how many records are expected; without the file nothing is noted.
NOTES = "BENCH_NOTES"
EXPECTED = "BENCH_EXPECTED"


def watched(make: Callable[[Worker, Settings], Sink]) -> Callable[[Worker, Settings], Sink]:
    """The same sink; the two methods that are noted are replaced on the object, so that it stays what it is."""

    def made(worker: Worker, settings: Settings) -> Sink:
        sink = make(worker, settings)
        if notes := os.environ.get(NOTES):
            watch = _Watch(sink, Path(notes), int(os.environ[EXPECTED]))
            sink.prepare = watch.prepare
            sink.write = watch.write
        return sink

    return made


class _Watch:
    def __init__(self, sink: Sink, notes: Path, expected: int) -> None:
        self._prepare = sink.prepare
        self._write = sink.write
        self._notes = notes
        self._left = expected

    async def prepare(self) -> None:
        """The last thing a worker does before it consumes."""
        await self._prepare()
        self._note("ready")

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        outcomes = await self._write(batch)
        before, self._left = self._left, self._left - len(batch.records)
        if before > 0 >= self._left:
            self._note("written")
        return outcomes

    def _note(self, what: str) -> None:
        used = {"cpu_seconds": cpu_seconds(), "machine_seconds": machine_seconds()}
        line = json.dumps({"what": what, "at": time.monotonic(), **used})
        with self._notes.open("a", encoding="utf-8") as notes:
            notes.write(line + "\n")
