"""The steps that the points of `taken_contract` are made of."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from penstock.errors import SinkUnavailable
from penstock.sink import Reconcilable, Sink
from penstock.sink_contract import Target
from penstock.sink_contract_steps import expect, record_of
from penstock.testing import make_delivery

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from penstock.message import Message
    from penstock.record import Record

#: How often messages are taken again that another had in hand.
TRIES = 50
#: More than a point writes.
ALL = 100


class BackupTarget(Target, Protocol):
    """A target as `sink_contract` has it, and a second worker that writes rows of the same shape to its server."""

    def neighbour(self) -> Sink:
        """Make a sink, not open, of a worker of another name. It has tables of its own, or shares them."""


class BackupSink(Sink, Reconcilable, Protocol):
    """Both in one."""


class Enough(Exception):
    """Ends a block without a good end."""


def recording(sink: Sink) -> BackupSink:
    """The sink itself. Raises TypeError where it is not Reconcilable."""
    if not isinstance(sink, Reconcilable):
        raise TypeError(f"{type(sink).__name__} is no Reconcilable sink: it has no `taken`")
    return sink


@asynccontextmanager
async def backup(target: BackupTarget, sink: BackupSink | None = None) -> AsyncIterator[BackupSink]:
    """A sink of the target's own, or `sink`, open at an endpoint that records what it takes."""
    sink = sink or recording(target.sink())
    await sink.open(replace(target.endpoint, records_taken=True))
    try:
        await sink.prepare()
        yield sink
    finally:
        await sink.close()


def named(target: BackupTarget, name: str) -> Record:
    """A record whose message tells its name."""
    return replace(record_of(target, name, f"text of {name}"), delivery=make_delivery(name.encode(), routing_key=name))


def names_of(messages: Sequence[Message]) -> list[str]:
    """The names that messages tell."""
    return [message.body.decode() for message in messages]


async def take(sink: BackupSink, limit: int) -> list[str]:
    """The names on the first page, forgotten at the end; again while somebody else has it in hand."""
    for _ in range(TRIES):
        try:
            async with sink.taken(limit) as messages:
                names = names_of(messages)
        except SinkUnavailable as error:
            reason = str(error)
        else:
            return names
    raise AssertionError(f"what was taken was not to be had in {TRIES} tries: {reason}")


async def fail(sink: BackupSink, error: BaseException) -> None:
    """Raise the error in a block that has something in hand."""
    async with sink.taken(1):
        raise error


def leave() -> NoReturn:
    """End a block without a good end."""
    raise Enough


async def holds(sink: BackupSink, names: Sequence[str], when: str) -> None:
    """Expect that the sink has these left to be taken, in this order, and leave them."""
    try:
        async with sink.taken(ALL) as messages:
            expect(names_of(messages), list(names), f"left to be taken {when}")
            leave()
    except SinkUnavailable as error:
        raise AssertionError(f"left to be taken {when}: expected {list(names)!r}, found {error}") from error
    except Enough:
        return
