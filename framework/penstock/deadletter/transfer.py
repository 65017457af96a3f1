"""Letters out of a DLQ, a window after the other: each leaves it only once its new place has confirmed it."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from penstock.clock import SystemClock
from penstock.deadletter.browse import WINDOW_BYTES, browsing
from penstock.errors import UsageError
from penstock.publish_link import WINDOW, PublishLink, failures_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from pamqp.commands import Basic

    from penstock.clock import Clock
    from penstock.deadletter.browse import Held, Letters
    from penstock.deadletter.filter import Filter
    from penstock.deadletter.view import Letter
    from penstock.errors import LinkError
    from penstock.settings import Settings

    #: Told the DLQ, the bytes of bodies looked at, and the letters that are done with.
    Report = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Parcel:
    """The letter is sent on, to a queue by its name."""

    queue: str
    body: bytes
    properties: Basic.Properties


@dataclass(frozen=True, slots=True)
class Gone:
    """The letter is removed, and nothing takes its place."""


@dataclass(frozen=True, slots=True)
class Left:
    """The letter stays as it is; `reason` is a short stable word."""

    reason: str


Fate = Parcel | Gone | Left

#: Seconds after which the letters held go back and are taken anew: the broker closes a channel that holds some for
#: longer than its consumer_timeout, 30 minutes by default.
SITTING = 600.0
#: Letters that are decided about at once, with one question to the sink.
PAGE = 100


@dataclass(slots=True)
class Tally:
    """What has become of the letters of a DLQ so far; of a dry run, what would.

    `matched` are those that the filter meets; in the end each of them is `done` with or `left`, counted by the reason.
    """

    queue: str
    looked_at: int = 0
    matched: int = 0
    done: int = 0
    left: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        """The same as JSON can say it."""
        return {
            "queue": self.queue,
            "looked_at": self.looked_at,
            "matched": self.matched,
            "done": self.done,
            "left": dict(self.left),
        }


def unseen(_queue: str, _bytes: int, _done: int) -> None:
    """Report to nobody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How it is done: at most `limit` letters, `rate` of them a second; None bounds nothing.

    `in_flight` letters may be on their way at once, and so in both places after a kill. With `dry_run` nothing is
    sent or removed. `report` is told how far it is, letter by letter.
    """

    limit: int | None = None
    rate: float | None = None
    in_flight: int = 1
    dry_run: bool = False
    report: Report = unseen
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Takes the letters that `wanted` meets out of a DLQ, oldest first; `decide` says what becomes of each of a page.

    A letter that goes elsewhere is removed from the DLQ once it is confirmed there. All of a window are removed for
    certain before any of the next one is sent: a kill at any moment loses none, and leaves a window at most, one
    letter unless the manner says otherwise, in both places. All others stay as they are, in order.
    """

    settings: Settings
    queue: str
    wanted: Filter
    decide: Callable[[Sequence[Letter]], Awaitable[Sequence[Fate]]]
    manner: Manner

    async def run(self, tally: Tally) -> None:
        """Do it, counting in `tally` as it goes. Raises UsageError for an `in_flight` that cannot be.

        Raises LinkError; then what was not done is as it was, but for a window at most, which may be in both places.
        """
        if not 1 <= self.manner.in_flight <= WINDOW:
            raise UsageError(f"in_flight is {self.manner.in_flight}: say how many letters, 1 to {WINDOW}")
        publisher = PublishLink(self.settings.rabbitmq, f"{self.queue} transfer")
        course = _Course(publisher, tally, self.manner.clock.monotonic())
        try:
            while not course.over:
                await self._sit(course)
        finally:
            await publisher.close()

    async def _sit(self, course: _Course) -> None:
        """Go on where the last sitting ended."""
        until = self.manner.clock.monotonic() + SITTING
        skipped = course.passed
        left = None if course.ahead is None else course.ahead - course.removed
        async with browsing(self.settings.rabbitmq, self.queue, limit=left) as letters:
            if course.ahead is None:
                course.ahead = letters.ready
            page: list[Held] = []
            size = 0
            async for held in letters:
                if held.letter.position < skipped:
                    continue
                course.size += len(held.letter.body)
                course.tally.looked_at += 1
                if self.wanted.matches(held.letter, self.manner.clock.now()):
                    course.tally.matched += 1
                    page.append(held)
                    size += len(held.letter.body)
                else:
                    course.passed += 1
                self._report(course)
                late = self.manner.clock.monotonic() >= until
                if late or self._is_full(len(page), size, course.tally):
                    await self._settle(page, letters, course)
                    page, size = [], 0
                if course.tally.done == self.manner.limit:
                    course.over = True
                    return
                if late:
                    return
            await self._settle(page, letters, course)
        course.over = True

    def _is_full(self, letters: int, size: int, tally: Tally) -> bool:
        """Whether a page takes no more than the letters it has, with so many bytes of bodies."""
        room: float = max(PAGE, self.manner.in_flight)
        if self.manner.rate is not None:
            # A second's letters at most: what was decided about them must not have become old when they are sent.
            room = min(room, max(1, self.manner.rate))
        if self.manner.limit is not None:
            room = min(room, self.manner.limit - tally.done)
        return letters >= room or size >= WINDOW_BYTES

    async def _settle(self, page: Sequence[Held], letters: Letters, course: _Course) -> None:
        """Do with the letters of a page what is decided. Raises LinkError."""
        going: list[tuple[Held, Parcel | Gone]] = []
        fates = await self.decide([held.letter for held in page]) if page else ()
        for held, fate in zip(page, fates, strict=True):
            match fate:
                case Left(reason):
                    course.tally.left[reason] += 1
                    course.passed += 1
                case Parcel() | Gone() if self.manner.dry_run:
                    course.tally.done += 1
                    course.passed += 1
                case Parcel() | Gone():
                    going.append((held, fate))
                case _:
                    assert_never(fate)
        for start in range(0, len(going), self.manner.in_flight):
            await self._take(going[start : start + self.manner.in_flight], letters, course)
            self._report(course)

    async def _take(self, window: Sequence[tuple[Held, Parcel | Gone]], letters: Letters, course: _Course) -> None:
        """Send letters and remove those that are confirmed. Raises LinkError after that for the first that is not."""
        await self._keep_pace(course)
        # What could not be removed then would be sent again by each try that follows.
        letters.check()
        moving = asyncio.create_task(self._move(window, letters, course))
        try:
            await asyncio.shield(moving)
        except asyncio.CancelledError:
            # What is on its way is waited for, or a window would be left in both places and counted nowhere.
            await asyncio.gather(moving, return_exceptions=True)
            raise

    async def _move(self, window: Sequence[tuple[Held, Parcel | Gone]], letters: Letters, course: _Course) -> None:
        failures = await _sent([fate for _, fate in window], course.publisher)
        confirmed = [held for (held, _), failure in zip(window, failures, strict=True) if failure is None]
        if confirmed:
            await letters.remove([held.tag for held in confirmed])
            course.tally.done += len(confirmed)
            course.removed += len(confirmed)
            # Before any of the next window is sent, or a kill could leave more in both places.
            await letters.settled()
        for failure in failures:
            if failure is not None:
                raise failure

    async def _keep_pace(self, course: _Course) -> None:
        if self.manner.rate is not None:
            due = course.started + course.tally.done / self.manner.rate
            await self.manner.clock.sleep(max(0.0, due - self.manner.clock.monotonic()))

    def _report(self, course: _Course) -> None:
        self.manner.report(self.queue, course.size, course.tally.done)


async def _sent(fates: Sequence[Parcel | Gone], publisher: PublishLink) -> list[LinkError | None]:
    """What each has failed with, in order; None where it is in its new place, or has none."""
    failed = False

    async def send(fate: Parcel | Gone) -> None:
        nonlocal failed
        if isinstance(fate, Parcel):
            try:
                # Behind one that failed none is sent that was not on its way: it would overtake.
                await publisher.publish("", fate.queue, fate.body, fate.properties, lambda: failed)
            except BaseException:
                failed = True
                raise

    return await failures_of(map(send, fates))


@dataclass(slots=True)
class _Course:
    """How far a transfer is. `ahead` are the letters at the head of the queue that were there when it began.

    So many of them are `removed`, and so many `passed`: looked at, and left. `size` are the bytes of bodies looked at.
    """

    publisher: PublishLink
    tally: Tally
    started: float
    ahead: int | None = None
    removed: int = 0
    passed: int = 0
    size: int = 0
    over: bool = False
