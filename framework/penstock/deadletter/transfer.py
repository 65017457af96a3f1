"""Letters out of a DLQ, one after the other: each leaves it only once its new place has confirmed it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, assert_never

from penstock.clock import SystemClock
from penstock.deadletter.browse import browsing
from penstock.publish_link import PublishLink

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from pamqp.commands import Basic

    from penstock.clock import Clock
    from penstock.deadletter.browse import Held
    from penstock.deadletter.filter import Filter
    from penstock.deadletter.view import Letter
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


@dataclass(slots=True)
class Tally:
    """What has become of the letters of a DLQ so far; of a dry run, what would.

    `matched` are those that the filter meets; each of them is `done` with or `left`, counted by the reason.
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

    With `dry_run` nothing is sent or removed. `report` is told how far it is, letter by letter.
    """

    limit: int | None = None
    rate: float | None = None
    dry_run: bool = False
    report: Report = unseen
    clock: Clock = field(default_factory=SystemClock)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Takes the letters that `wanted` meets out of a DLQ, oldest first; `decide` says what becomes of each.

    A letter that goes elsewhere is removed from the DLQ once it is confirmed there, before the next one is sent: a
    kill at any moment loses none, and leaves one at most in both places. All others stay as they are, in order.
    """

    settings: Settings
    queue: str
    wanted: Filter
    decide: Callable[[Letter], Awaitable[Fate]]
    manner: Manner

    async def run(self, tally: Tally) -> None:
        """Do it, counting in `tally` as it goes. Raises LinkError; what was not done by then is as it was."""
        publisher = PublishLink(self.settings.rabbitmq, f"{self.queue} transfer")
        course = _Course(self.manner.clock.monotonic())
        try:
            while not course.over:
                await self._sit(publisher, tally, course)
        finally:
            await publisher.close()

    async def _sit(self, publisher: PublishLink, tally: Tally, course: _Course) -> None:
        """Go on where the last sitting ended."""
        until = self.manner.clock.monotonic() + SITTING
        skipped = course.passed
        async with browsing(self.settings.rabbitmq, self.queue, limit=course.ahead) as letters:
            if course.ahead is None:
                course.ahead = letters.ready
            async for held in letters:
                if held.letter.position < skipped:
                    continue
                course.size += len(held.letter.body)
                tally.looked_at += 1
                if await self._took(held, publisher, tally, course):
                    await held.remove()
                    # Before the next is sent, or a kill could leave more than one in both places.
                    await letters.settled()
                    tally.done += 1
                    course.ahead -= 1
                else:
                    course.passed += 1
                self.manner.report(self.queue, course.size, tally.done)
                if tally.done == self.manner.limit:
                    course.over = True
                    return
                if self.manner.clock.monotonic() >= until:
                    return
        course.over = True

    async def _took(self, held: Held, publisher: PublishLink, tally: Tally, course: _Course) -> bool:
        """Whether the letter is to be removed now: it is in its new place, or has none."""
        if not self.wanted.matches(held.letter, self.manner.clock.now()):
            return False
        tally.matched += 1
        fate = await self.decide(held.letter)
        match fate:
            case Left(reason):
                tally.left[reason] += 1
                return False
            case Parcel() | Gone() if self.manner.dry_run:
                tally.done += 1
                return False
            case Parcel(queue, body, properties):
                await self._keep_pace(tally, course)
                # What could not be removed then would be sent again by each try that follows.
                held.check()
                await publisher.publish("", queue, body, properties)
            case Gone():
                await self._keep_pace(tally, course)
            case _:
                assert_never(fate)
        return True

    async def _keep_pace(self, tally: Tally, course: _Course) -> None:
        if self.manner.rate is not None:
            due = course.started + tally.done / self.manner.rate
            await self.manner.clock.sleep(max(0.0, due - self.manner.clock.monotonic()))


@dataclass(slots=True)
class _Course:
    """How far a transfer is. `ahead` are the letters at the head of the queue that were there when it began.

    The first `passed` of them have been looked at and left; `size` are the bytes of bodies looked at.
    """

    started: float
    ahead: int | None = None
    passed: int = 0
    size: int = 0
    over: bool = False
