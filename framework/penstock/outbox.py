"""The outbox: messages whose broker is away, in a journal on this machine's disk, in order.

Many publishes share the wait for the disk: those that come while the journal commits are one commit together.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from penstock.journal import Journal
from penstock.journal_bounds import Bounds
from penstock.journal_thread import open_journal
from penstock.message import Message, from_payload, to_payload

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from penstock.clock import Clock
    from penstock.journal_bounds import Usage
    from penstock.journal_thread import JournalThread
    from penstock.settings import OutboxSettings

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


class Outbox:
    """Made by `open_outbox`. What the methods raise is JournalError; what they were to change is then not changed."""

    def __init__(self, journal: JournalThread[State]) -> None:
        self._journal = journal
        self._arriving = 0

    @property
    def state(self) -> State:
        """What was in it after the last commit."""
        return self._journal.state

    @property
    def empty(self) -> bool:
        """Whether no message waits, on the disk or on its way there."""
        return not self._arriving and not self.state.pending.records

    def store(self, message: Message) -> asyncio.Future[None]:
        """Put a message behind all others, as of this call; done once it is on the disk. Raises JournalFull."""
        done = self._journal.change(lambda journal: journal.append(PENDING, to_payload(message)))
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

        await self._journal.change(settle)

    async def page(self) -> list[Kept]:
        """The first messages that wait, in order: at least one if there is any, and no more than are sent together."""
        return await self._journal.ask(_page)

    async def failed(self) -> list[Kept]:
        """What is kept aside, in the order it was published."""
        return await self._journal.ask(_all_failed)

    async def retry(self, failed: Sequence[Kept]) -> None:
        """Let messages that were kept aside wait again, each in its old place."""

        def retry(journal: Journal) -> None:
            for kept in failed:
                journal.replace(kept.position, PENDING, to_payload(kept.message))

        await self._journal.change(retry)

    async def discard(self, failed: Sequence[Kept]) -> None:
        """Remove messages that were kept aside."""

        def discard(journal: Journal) -> None:
            for kept in failed:
                journal.remove(kept.position)

        await self._journal.change(discard)

    async def close(self) -> None:
        """Commit what was asked for, close the file and give its lease back; what it holds stays."""
        await self._journal.close()


async def open_outbox(settings: OutboxSettings, path: str, clock: Clock) -> Outbox:
    """Open or make the outbox at `path`, with what an earlier process left in it. Raises JournalError."""

    def make() -> Journal:
        return Journal(Path(path).expanduser(), Bounds(settings.records, settings.byte_size, settings.age), clock)

    return Outbox(await open_journal("outbox", make, _state))


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
