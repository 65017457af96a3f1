"""The outbox: messages whose broker is away, in a journal on this machine's disk, in order.

The journal has a thread of its own. What is asked of it while it commits waits and is then one commit together, so
that many publishes share the wait for the disk, and the event loop waits for none.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from penstock.errors import JournalError
from penstock.journal import Journal
from penstock.journal_bounds import Bounds
from penstock.message import Message, from_payload, to_payload

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.clock import Clock
    from penstock.journal_bounds import Usage
    from penstock.settings import OutboxSettings

T = TypeVar("T")

#: What waits for the broker, and what the broker refused: the journal's two streams.
PENDING = "pending"
FAILED = "failed"
#: Messages, and bytes of them, that are read to be sent together.
PAGE = 1000
PAGE_BYTES = 16 * 1024 * 1024


class Kept(NamedTuple):
    """A message in the outbox; `failure` is empty while it waits, then why the broker did not take it."""

    position: int
    message: Message
    failure: str


@dataclass(frozen=True, slots=True)
class State:
    """What was in the outbox after its last commit. `oldest` is when the first message came, in epoch seconds."""

    pending: Usage
    failed: Usage
    oldest: float | None


@dataclass(frozen=True, slots=True)
class _Change:
    """Something to do with the journal within the next commit, and who waits for it."""

    action: Callable[[Journal], object]
    done: asyncio.Future[None]


class Outbox:
    """Made by `open_outbox`. What the methods raise is JournalError; what they were to change is then not changed."""

    def __init__(self, journal: Journal, thread: ThreadPoolExecutor, state: State) -> None:
        self._journal = journal
        self._thread = thread
        self._changes: list[_Change] = []
        self._committing: asyncio.Task[None] | None = None
        self._arriving = 0
        self.state = state

    @property
    def empty(self) -> bool:
        """Whether no message waits, on the disk or on its way there."""
        return not self._arriving and not self.state.pending.records

    def store(self, message: Message) -> asyncio.Future[None]:
        """Put a message behind all others, as of this call; done once it is on the disk. Raises JournalFull."""
        done = self._change(lambda journal: journal.append(PENDING, to_payload(message)))
        self._arriving += 1
        done.add_done_callback(self._arrived)
        return done

    def _arrived(self, done: asyncio.Future[None]) -> None:
        self._arriving -= 1
        # Whoever has given up waiting for it needs no more than this.
        done.cancelled() or done.exception()

    async def settle(self, confirmed: Sequence[Kept], failed: Sequence[Kept]) -> None:
        """Remove what the broker confirmed, and keep aside what it refused."""

        def settle(journal: Journal) -> None:
            for kept in confirmed:
                journal.remove(kept.position)
            for kept in failed:
                journal.replace(kept.position, FAILED, to_payload(kept.message, kept.failure))

        await self._change(settle)

    async def page(self) -> list[Kept]:
        """The first messages that wait, in order: at least one if there is any, and no more than are sent together."""
        return await self._run(_page, self._journal)

    async def failed(self) -> list[Kept]:
        """What is kept aside, in the order it was published."""
        return await self._run(_all_failed, self._journal)

    async def retry(self, failed: Sequence[Kept]) -> None:
        """Let messages that were kept aside wait again, each in its old place."""

        def retry(journal: Journal) -> None:
            for kept in failed:
                journal.replace(kept.position, PENDING, to_payload(kept.message))

        await self._change(retry)

    async def discard(self, failed: Sequence[Kept]) -> None:
        """Remove messages that were kept aside."""

        def discard(journal: Journal) -> None:
            for kept in failed:
                journal.remove(kept.position)

        await self._change(discard)

    async def close(self) -> None:
        """Commit what was asked for, close the file and give its lease back; what it holds stays."""
        while self._committing is not None:
            await asyncio.wait({self._committing})
        await self._run(self._journal.close)
        self._thread.shutdown()

    def _change(self, action: Callable[[Journal], object]) -> asyncio.Future[None]:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.append(_Change(action, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return done

    async def _commit(self) -> None:
        while self._changes:
            changes, self._changes = self._changes, []
            failures: Sequence[Exception | None]
            try:
                failures, self.state = await self._run(_apply, self._journal, [change.action for change in changes])
            except Exception as error:  # noqa: BLE001 whoever waits for it is told
                failures = [error] * len(changes)
            for change, failure in zip(changes, failures, strict=True):
                if change.done.cancelled():
                    continue
                if failure is None:
                    change.done.set_result(None)
                else:
                    change.done.set_exception(failure)
        self._committing = None

    async def _run(self, function: Callable[..., T], *values: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *values)


async def open_outbox(settings: OutboxSettings, path: str, clock: Clock) -> Outbox:
    """Open or make the outbox at `path`, with what an earlier process left in it. Raises JournalError."""
    thread = ThreadPoolExecutor(1, "outbox")
    loop = asyncio.get_running_loop()
    try:
        journal = await loop.run_in_executor(thread, _journal, settings, path, clock)
        state = await loop.run_in_executor(thread, _state, journal)
    except JournalError:
        thread.shutdown()
        raise
    return Outbox(journal, thread, state)


def _journal(settings: OutboxSettings, path: str, clock: Clock) -> Journal:
    return Journal(Path(path).expanduser(), Bounds(settings.records, settings.byte_size, settings.age), clock)


def _apply(journal: Journal, actions: Sequence[Callable[[Journal], object]]) -> tuple[list[JournalError | None], State]:
    """Do it all in one commit; for each what went wrong with it alone. Raises JournalError where nothing was done."""
    try:
        failures = [_failure(journal, action) for action in actions]
        journal.commit()
    except JournalError:
        journal.forget()
        raise
    return failures, _state(journal)


def _failure(journal: Journal, action: Callable[[Journal], object]) -> JournalError | None:
    try:
        action(journal)
    except JournalError as error:
        return error
    return None


def _state(journal: Journal) -> State:
    return State(journal.usage(PENDING), journal.usage(FAILED), journal.oldest(PENDING))


def _page(journal: Journal) -> list[Kept]:
    found: list[Kept] = []
    size = 0
    for position, _, payload in journal.entries(PENDING):
        size += len(payload)
        if found and (len(found) == PAGE or size > PAGE_BYTES):
            break
        found.append(Kept(position, *from_payload(payload)))
    return found


def _all_failed(journal: Journal) -> list[Kept]:
    return [Kept(position, *from_payload(payload)) for position, _, payload in journal.entries(FAILED)]
