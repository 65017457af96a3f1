"""The contract of what is taken finds what is broken: each sink here breaks one point, and that point says so."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from contract.targets import MemoryTarget
from penstock import taken, taken_contract
from penstock.errors import SinkUnavailable
from penstock.kept import message_of
from penstock.outcome import DUPLICATE
from penstock.testing import MemorySink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from penstock.message import Message
    from penstock.outcome import Outcome
    from penstock.record import Batch
    from penstock.sink import Endpoint
    from penstock.taken_contract import BackupTarget


class IndifferentSink(MemorySink):
    """Enters what it writes at every endpoint."""

    async def open(self, endpoint: Endpoint) -> None:
        await super().open(replace(endpoint, records_taken=True))


class OpenHandedSink(MemorySink):
    """Enters Duplicates as well."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        outcomes = await super().write(batch)
        repeated = [record for record, outcome in zip(batch.records, outcomes, strict=True) if outcome == DUPLICATE]
        self.backup.messages[self.worker] += map(message_of, repeated)
        return outcomes


class ForgetfulSink(MemorySink):
    """Enters no Duplicate, though it was replayed."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        before = list(self.backup.messages[self.worker])
        outcomes = await super().write(batch)
        if all(outcome == DUPLICATE for outcome in outcomes):
            self.backup.messages[self.worker][:] = before
        return outcomes


class EarlySink(MemorySink):
    """Enters what it may then not write."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        self.backup.messages[self.worker] += map(message_of, batch.records)
        return await super().write(batch)


class KeylessSink(MemorySink):
    """Enters records as if each were a new event."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        outcomes = await super().write(batch)
        entered = self.backup.messages[self.worker]
        entered[:] = [message_of(replace(record, known_key="0" * 64)) for record in batch.records[: len(entered)]]
        return outcomes


class KeepingSink(MemorySink):
    """Forgets nothing."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        yield self.backup.messages[self.worker][:limit]


class RashSink(MemorySink):
    """Forgets as it hands out."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        messages = self.backup.messages[self.worker]
        page = messages[:limit]
        del messages[: len(page)]
        yield page


class ClearingSink(MemorySink):
    """Forgets what came in meanwhile."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        async with super().taken(limit) as page:
            yield page
            self.backup.messages[self.worker][len(page) :] = []


class StackSink(MemorySink):
    """Hands out the newest first."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        self.backup.messages[self.worker].reverse()
        async with super().taken(limit) as page:
            yield page


class CommonSink(MemorySink):
    """Makes no difference between workers."""

    async def open(self, endpoint: Endpoint) -> None:
        self.worker = "all"
        await super().open(endpoint)


class UnlockedSink(MemorySink):
    """Hands out to two at once."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        messages = self.backup.messages[self.worker]
        page = messages[:limit]
        await asyncio.sleep(0)
        yield page
        messages[:] = [message for message in messages if message not in page]


class WaitingSink(MemorySink):
    """Waits for another as long as it takes."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        async with self.backup.locks[f"for ever {self.worker}"], super().taken(limit) as page:
            yield page


class TranslatingSink(MemorySink):
    """Takes every error of a block for one of its own."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        try:
            async with super().taken(limit) as page:
                yield page
        except Exception as error:
            raise SinkUnavailable(str(error)) from error


class NotingSink(MemorySink):
    """Writes when it is asked."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        async with super().taken(limit) as page:
            yield page
        self.backup.messages[f"asked {len(self.backup.messages)}"].clear()


class UndeadSink(MemorySink):
    """Hands out after close."""

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        page = self.backup.messages[self.worker][:limit]
        yield page
        del self.backup.messages[self.worker][: len(page)]


@pytest.mark.parametrize(
    ("kind", "point", "text"),
    [
        (KeylessSink, taken_contract.what_is_written_is_taken, "the messages taken"),
        (KeepingSink, taken_contract.what_is_written_is_taken, "after they were taken"),
        (OpenHandedSink, taken_contract.duplicate_is_not_taken_again, "Duplicates"),
        (ForgetfulSink, taken_contract.replayed_duplicate_is_taken_again, "one was replayed"),
        (EarlySink, taken_contract.refused_batch_leaves_nothing_taken, "refused batch"),
        (IndifferentSink, taken_contract.primary_takes_nothing, "primary wrote"),
        (StackSink, taken_contract.pages_come_in_the_order_written, "pages"),
        (RashSink, taken_contract.failed_block_leaves_all, "after blocks that failed"),
        (TranslatingSink, taken_contract.failed_block_leaves_all, "came out as"),
        (CommonSink, taken_contract.workers_are_kept_apart, "other worker"),
        (UnlockedSink, taken_contract.two_take_each_message_once, "what two took"),
        (WaitingSink, taken_contract.waits_in_bounded_time, "did not end"),
        (ClearingSink, taken_contract.written_meanwhile_is_kept, "and then the rest"),
        (NotingSink, taken_contract.nothing_taken_changes_nothing, "asking for nothing"),
        (UndeadSink, taken_contract.closed_sink_takes_nothing, "after close"),
    ],
)
async def test_a_broken_sink_is_found(
    kind: type[MemorySink],
    point: Callable[[BackupTarget], Awaitable[None]],
    text: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(taken, "LOCK_LIMIT", 0.01)
    monkeypatch.setattr(taken_contract, "WAIT_LIMIT", 0.05)
    with pytest.raises(AssertionError, match=text):
        await point(MemoryTarget("", "upsert", kind))


def test_every_point_is_in_the_contract() -> None:
    points = {
        function
        for name, function in vars(taken_contract).items()
        if asyncio.iscoroutinefunction(function) and function.__module__ == taken_contract.__name__
        if not name.startswith("_")
    }
    assert points == set(taken_contract.TAKEN_CONTRACT)


async def test_a_sink_that_takes_nothing_is_no_backup() -> None:
    class PlainTarget(MemoryTarget):
        def sink(self) -> Any:
            return object()

    with pytest.raises(TypeError, match="object is no Reconcilable sink"):
        await taken_contract.what_is_written_is_taken(PlainTarget("", "upsert"))
