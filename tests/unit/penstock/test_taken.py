"""A page of what a backup took: forgotten at a good end and at no other, and never waited for without end."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from penstock import taken
from penstock.errors import BatchError, ConnectionLost, SinkUnavailable
from penstock.idempotency import KEY_HEADER
from penstock.kept import delivery_of
from penstock.outcome import Transient
from penstock.taken import Entry, page, payloads_of, to_enter
from penstock.testing import make_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from penstock.message import Message

RECORDS = [make_record({"name": name}, name) for name in "abc"]


class FakeBackup:
    """What happens to the one transaction of a page, in order."""

    def __init__(self) -> None:
        self.events: list[object] = []
        self.entries = [Entry(position, payload) for position, payload in enumerate(payloads_of(RECORDS), 7)]
        #: What a step raises, by its name; None where it hangs.
        self.trouble: dict[str, BaseException | None] = {}
        self.in_block = asyncio.Event()

    def page(self, seconds: float = 30) -> AbstractAsyncContextManager[Sequence[Message]]:
        return page(self.transaction(), self.read, self.forget, seconds=seconds)

    async def read(self, transaction: str) -> Sequence[Entry]:
        await self.step("read", transaction)
        return self.entries

    async def forget(self, transaction: str, positions: list[int]) -> None:
        await self.step("forget", transaction, positions)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[str]:
        await self.step("begin")
        try:
            yield "the transaction"
        except BaseException:
            await self.step("rollback")
            raise
        await self.step("commit")

    async def step(self, name: str, *what: object) -> None:
        self.events.append((name, *what) if what else name)
        if name not in self.trouble:
            return
        error = self.trouble[name]
        if error is None:
            await asyncio.Event().wait()
        else:
            raise error


@pytest.fixture
async def backup() -> FakeBackup:
    return FakeBackup()


async def take(backup: FakeBackup, error: BaseException | None = None, seconds: float = 30) -> Sequence[Message]:
    async with backup.page(seconds) as messages:
        backup.events.append("block")
        if error is not None:
            raise error
    return messages


async def test_a_good_end_forgets_what_was_handed_out_in_the_same_transaction(backup: FakeBackup) -> None:
    messages = await take(backup)
    assert [delivery_of(message).headers[KEY_HEADER] for message in messages] == [record.key for record in RECORDS]
    assert backup.events == [
        "begin",
        ("read", "the transaction"),
        "block",
        ("forget", "the transaction", [7, 8, 9]),
        "commit",
    ]


async def test_an_empty_page_is_ended_without_a_word(backup: FakeBackup) -> None:
    backup.entries = []
    assert list(await take(backup)) == []
    assert backup.events == ["begin", ("read", "the transaction"), "block", "commit"]


@pytest.mark.parametrize("error", [RuntimeError("bug"), SinkUnavailable("away"), OSError("disk"), KeyboardInterrupt()])
async def test_a_failed_block_rolls_back_and_is_told_as_it_is(backup: FakeBackup, error: BaseException) -> None:
    with pytest.raises(type(error)) as raised:
        await take(backup, error)
    assert raised.value is error
    assert backup.events == ["begin", ("read", "the transaction"), "block", "rollback"]


@pytest.mark.parametrize("trouble", [None, ConnectionLost("gone"), TimeoutError()], ids=repr)
async def test_a_rollback_that_fails_or_hangs_hides_nothing(
    backup: FakeBackup, trouble: BaseException | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(taken, "ABANDON_LIMIT", 0.01)
    backup.trouble["rollback"] = trouble
    with pytest.raises(RuntimeError, match="the block's"):
        await take(backup, RuntimeError("the block's"))


@pytest.mark.parametrize("step", ["begin", "read", "forget", "commit"])
@pytest.mark.parametrize(
    "trouble",
    [None, ConnectionLost("gone"), BatchError(Transient("deadlock", "40P01", "a deadlock")), TimeoutError()],
    ids=["hangs", "lost", "deadlock", "timeout"],
)
async def test_whatever_fails_at_an_end_is_an_outage(
    backup: FakeBackup, step: str, trouble: BaseException | None
) -> None:
    backup.trouble[step] = trouble
    with pytest.raises(SinkUnavailable):
        await take(backup, seconds=0.01 if trouble is None else 30)
    assert ("block" in backup.events) == (step in {"forget", "commit"})
    assert ("commit" in backup.events) == (step == "commit")
    assert ("rollback" in backup.events) == (step in {"read", "forget"})


async def test_a_cancelled_block_is_cancelled_and_forgets_nothing(backup: FakeBackup) -> None:
    async def hold() -> None:
        async with backup.page():
            backup.in_block.set()
            await asyncio.Event().wait()

    holding = asyncio.create_task(hold())
    await backup.in_block.wait()
    holding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await holding
    assert backup.events[-1] == "rollback"


@pytest.mark.parametrize(("header", "entered"), [("penstock-replays", True), ("penstock-attempts", True), ("x", False)])
def test_a_duplicate_that_was_sent_again_is_entered_again(header: str, entered: bool) -> None:  # noqa: FBT001 a column
    again = make_record({"name": "d"}, "d")
    again.delivery.properties.headers = {header: 1}
    assert to_enter([*RECORDS, again], {1}) == [RECORDS[1], *([again] if entered else [])]
