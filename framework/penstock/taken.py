"""What a backup took for its primary, as sinks keep it: entries in the transaction of the data, handed out in pages."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from penstock.deadletter.letter import ATTEMPTS_HEADER, REPLAYS_HEADER, count
from penstock.errors import BatchError, SinkUnavailable
from penstock.kept import message_of
from penstock.message import from_payload, to_payload

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Sequence
    from contextlib import AbstractAsyncContextManager

    from penstock.message import Message
    from penstock.record import Record

#: How long another process of the same worker may have the entries locked before we give up, in seconds. A cold
#: Neo4j takes more than 5 s to plan a statement.
LOCK_LIMIT = 10.0
#: How long a rollback may take before the connection is left to be cut, in seconds.
ABANDON_LIMIT = 1.0

Transaction = TypeVar("Transaction")


class Entry(NamedTuple):
    """One record that was taken; positions grow in the order in which the records were written."""

    position: int
    payload: bytes


def to_enter(records: Sequence[Record], written: Container[int]) -> list[Record]:
    """The records that are entered, in their order: those at the positions `written`, and all that were sent again.

    What is a Duplicate at the backup was entered when it was written there. One that was replayed, or has waited in a
    retry queue, may be one that the primary was given since, and refused: the backup holds it and the primary never
    had it (decision 0018).
    """
    return [record for position, record in enumerate(records) if position in written or _was_sent_again(record)]


def _was_sent_again(record: Record) -> bool:
    headers = record.delivery.headers
    return any(count(headers.get(name)) > 0 for name in (REPLAYS_HEADER, ATTEMPTS_HEADER))


def payloads_of(records: Iterable[Record]) -> list[bytes]:
    """What is entered of records, in their order."""
    return [to_payload(message_of(record)) for record in records]


@asynccontextmanager
async def page(
    transaction: AbstractAsyncContextManager[Transaction],
    read: Callable[[Transaction], Awaitable[Sequence[Entry]]],
    forget: Callable[[Transaction, list[int]], Awaitable[None]],
    *,
    seconds: float,
) -> AsyncIterator[Sequence[Message]]:
    """What a sink's `taken` returns: `read` locks and reads, and a good end of the block has `forget` called.

    Both happen in the `transaction`, each within `seconds`; the block in between may take as long as the transaction
    lasts. What leaves the block is raised as it is, and the transaction rolled back. Raises SinkUnavailable.
    """
    async with _outages_only(seconds), AsyncExitStack() as opening:
        opened = await opening.enter_async_context(transaction)
        found = await read(opened)
        held = opening.pop_all()
    try:
        yield [from_payload(entry.payload)[0] for entry in found]
    except BaseException:
        await _abandon(held)
        raise
    async with _outages_only(seconds), held:
        if found:
            await forget(opened, [entry.position for entry in found])


class _Abandoned(Exception):
    """Rolls a transaction back; an error of the block might be taken for one of the server's."""


async def _abandon(held: AsyncExitStack) -> None:
    with suppress(_Abandoned, SinkUnavailable, TimeoutError):
        async with asyncio.timeout(ABANDON_LIMIT), held:
            raise _Abandoned


@asynccontextmanager
async def _outages_only(seconds: float) -> AsyncIterator[None]:
    """No record is written here that could be refused: whatever fails or takes too long is an outage."""
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError as error:
        raise SinkUnavailable(f"what the backup took was not to be had within {seconds:g} s") from error
    except BatchError as error:
        raise SinkUnavailable(f"what the backup took is not to be had now: {error}") from error
