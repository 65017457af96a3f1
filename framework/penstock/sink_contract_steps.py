"""The steps that the points of the sinks' contracts are made of."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from penstock.errors import SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.testing import make_batch, make_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from penstock.record import Record
    from penstock.sink import Sink
    from penstock.sink_contract import Target

#: How long the suite, like a worker with a short write_timeout, waits for a frozen server, in seconds.
FROZEN_LIMIT = 1.0


def record_of(target: Target, name: str, text: str, version: int | None = None) -> Record:
    """A record of a row of that name and text."""
    return make_record(target.row(name, text), name, version=version)


@asynccontextmanager
async def opened(target: Target, sink: Sink | None = None) -> AsyncIterator[Sink]:
    """A sink of the target's own, or `sink`, opened and prepared; closed at the end."""
    sink = sink or target.sink()
    await sink.open(target.endpoint)
    try:
        await sink.prepare()
        yield sink
    finally:
        await sink.close()


async def write(sink: Sink, records: Sequence[Record], expected: str) -> None:
    """Write the records as one batch; W and D stand for the outcomes that have to come."""
    outcomes = list(await sink.write(make_batch(*records)))
    expect(outcomes, [{"W": WRITTEN, "D": DUPLICATE}[letter] for letter in expected], "the outcomes")


async def unavailable(call: Awaitable[object], what: str) -> None:
    """Await what has to raise SinkUnavailable; `what` says what it is."""
    try:
        await call
    except SinkUnavailable:
        return
    raise AssertionError(f"{what} raised no SinkUnavailable")


async def gives_up(call: Awaitable[object]) -> None:
    """As the writer does it: a time limit from outside, which the call must not outstay."""
    try:
        async with asyncio.timeout(FROZEN_LIMIT):
            await call
    except (TimeoutError, SinkUnavailable):
        return
    raise AssertionError("a frozen server answered")


def expect(actual: object, expected: object, what: str) -> None:
    """Raise AssertionError, saying `what` it is, unless it is as expected."""
    if actual != expected:
        raise AssertionError(f"{what}: expected {expected!r}, found {actual!r}")
