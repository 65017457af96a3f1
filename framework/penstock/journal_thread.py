"""A journal in a thread of its own, for the event loop: it waits for no disk, and many changes share one commit.

What is asked of it while it commits waits and is then one commit together.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

from penstock.errors import JournalError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.journal import Journal

T = TypeVar("T")
#: What its user wants to know of the journal after each commit.
State = TypeVar("State")


@dataclass(frozen=True, slots=True)
class _Change:
    """Something to do with the journal within the next commit, and who waits for it."""

    action: Callable[[Journal], object]
    done: asyncio.Future[None]


class JournalThread(Generic[State]):
    """Made by `open_journal`. `path` is the journal's, `state` what `look` said of it after its last commit."""

    def __init__(
        self, thread: ThreadPoolExecutor, journal: Journal, look: Callable[[Journal], State], state: State
    ) -> None:
        self.state = state
        self.path = journal.path
        self._journal = journal
        self._thread = thread
        self._look = look
        self._changes: list[_Change] = []
        self._committing: asyncio.Task[None] | None = None

    def change(self, action: Callable[[Journal], object]) -> asyncio.Future[None]:
        """Change the journal, in the order of the calls; done once that is on the disk.

        The future raises the JournalError that `action` raised, which must then have changed nothing, or that of the
        commit, after which nothing is changed.
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._changes.append(_Change(action, done))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        return done

    async def ask(self, question: Callable[[Journal], T]) -> T:
        """What the journal says between two commits. Where the question has changed it, `state` follows."""

        def asked(journal: Journal) -> tuple[T, State]:
            return question(journal), self._look(journal)

        answer, self.state = await _run(self._thread, asked, self._journal)
        return answer

    async def close(self) -> None:
        """Commit what was asked for, close the file and give its lease back; what it holds stays."""
        while self._committing is not None:
            await asyncio.wait({self._committing})
        await _run(self._thread, self._journal.close)
        self._thread.shutdown()

    async def _commit(self) -> None:
        while self._changes:
            changes, self._changes = self._changes, []
            failures: Sequence[Exception | None]
            try:
                failures, self.state = await _run(self._thread, self._apply, [change.action for change in changes])
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

    def _apply(self, actions: Sequence[Callable[[Journal], object]]) -> tuple[list[JournalError | None], State]:
        """Do it all in one commit; for each what went wrong with it alone. Raises where nothing was done."""
        journal = self._journal
        try:
            failures = [_failure(journal, action) for action in actions]
            journal.commit()
        except Exception:
            journal.forget()
            raise
        return failures, self._look(journal)


async def open_journal(
    name: str, make: Callable[[], Journal], look: Callable[[Journal], State]
) -> JournalThread[State]:
    """Have `make` open a journal, in a new thread of that name. Raises what it raises, JournalError above all."""
    thread = ThreadPoolExecutor(1, name)

    def opened() -> tuple[Journal, State]:
        journal = make()
        try:
            return journal, look(journal)
        except BaseException:
            journal.close()
            raise

    try:
        journal, state = await _run(thread, opened)
    except BaseException:
        thread.shutdown(wait=False)
        raise
    return JournalThread(thread, journal, look, state)


def _failure(journal: Journal, action: Callable[[Journal], object]) -> JournalError | None:
    try:
        action(journal)
    except JournalError as error:
        return error
    return None


async def _run(thread: ThreadPoolExecutor, function: Callable[..., T], *values: object) -> T:
    # With the loggers' context, which a thread does not have by itself.
    context = contextvars.copy_context()
    return await asyncio.get_running_loop().run_in_executor(thread, context.run, function, *values)
