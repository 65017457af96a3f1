"""A window of letters: what is sent, confirmed and removed, in which order, and what a kill could leave twice."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic

from penstock.deadletter import transfer
from penstock.deadletter.browse import WINDOW_BYTES, Held
from penstock.deadletter.filter import Filter
from penstock.deadletter.transfer import Left, Manner, Parcel, Tally, Transfer
from penstock.errors import LinkError, NotRouted, UsageError
from penstock.settings import Settings
from support.clock import ManualClock
from support.letters import make_letter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from penstock.deadletter.transfer import Fate
    from penstock.deadletter.view import Letter

QUEUE = "orders.dlq"


class Letters:
    def __init__(self, letters: Sequence[Letter], log: list[str]) -> None:
        self.ready = len(letters)
        self._letters = letters
        self._log = log

    async def __aiter__(self) -> AsyncIterator[Held]:
        for letter in self._letters:
            yield Held(letter, letter.position + 1)

    def check(self) -> None:
        self._log.append("check")

    async def remove(self, tags: Sequence[int]) -> None:
        self._log += [f"remove {tag - 1}" for tag in tags]

    async def settled(self) -> None:
        self._log.append("settled")


class Link:
    """Confirms after the others of a window were sent, but for those that are refused."""

    def __init__(self, log: list[str], refused: Sequence[bytes]) -> None:
        self._log = log
        self._refused = refused

    async def publish(
        self, _exchange: str, _queue: str, body: bytes, _properties: Basic.Properties, _given_up: Callable[[], bool]
    ) -> None:
        number = body.strip().decode()
        self._log.append(f"send {number}")
        await asyncio.sleep(0)
        if body in self._refused:
            raise NotRouted("no queue")
        self._log.append(f"confirm {number}")

    async def close(self) -> None:
        self._log.append("close")


class Run:
    """A transfer of letters numbered from 0, with neither broker nor sink."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, bodies: Sequence[bytes], refused: Sequence[bytes] = ()) -> None:
        self.log: list[str] = []
        self.asked: list[int] = []
        self.tally = Tally(QUEUE)
        letters = [make_letter(body, position=position) for position, body in enumerate(bodies)]

        @asynccontextmanager
        async def browsing(_settings: object, _queue: str, *, limit: int | None) -> AsyncIterator[Letters]:
            yield Letters(letters[:limit], self.log)

        monkeypatch.setattr(transfer, "browsing", browsing)
        monkeypatch.setattr(transfer, "PublishLink", lambda _settings, _name: Link(self.log, refused))

    async def run(self, manner: Manner, left: Sequence[int] = (), wanted: Filter | None = None) -> Run:
        async def decide(letters: Sequence[Letter]) -> Sequence[Fate]:
            self.asked.append(len(letters))
            return [
                Left("other") if letter.position in left else Parcel("orders", letter.body, Basic.Properties())
                for letter in letters
            ]

        await Transfer(Settings(), QUEUE, wanted or Filter(), decide, manner).run(self.tally)
        return self

    def most_in_both(self) -> int:
        """Letters that were in both places at one time, as far as anybody can be sure."""
        both: set[str] = set()
        most = 0
        for line in self.log:
            what, _, number = line.partition(" ")
            if what == "send":
                both.add(number)
            elif what == "settled":
                both.clear()
            most = max(most, len(both))
        return most

    def of(self, *kinds: str) -> list[str]:
        return [line for line in self.log if line.partition(" ")[0] in kinds]


def bodies(count: int) -> list[bytes]:
    return [b"%d" % number for number in range(count)]


async def test_one_at_a_time_is_a_window_of_one(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await Run(monkeypatch, bodies(2)).run(Manner())
    assert run.log == [
        *("check", "send 0", "confirm 0", "remove 0", "settled"),
        *("check", "send 1", "confirm 1", "remove 1", "settled"),
        "close",
    ]
    assert run.asked == [2]


async def test_all_of_a_window_are_sent_at_once_and_removed_for_certain_before_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = await Run(monkeypatch, bodies(3)).run(Manner(in_flight=2))
    assert run.log == [
        *("check", "send 0", "send 1", "confirm 0", "confirm 1", "remove 0", "remove 1", "settled"),
        *("check", "send 2", "confirm 2", "remove 2", "settled"),
        "close",
    ]
    assert run.asked == [3]


@pytest.mark.parametrize("in_flight", [1, 7, 50, 1000])
async def test_no_more_than_a_window_is_in_both_places(monkeypatch: pytest.MonkeyPatch, in_flight: int) -> None:
    run = await Run(monkeypatch, bodies(200)).run(Manner(in_flight=in_flight), left=range(0, 200, 9))
    assert 0 < run.most_in_both() <= in_flight
    assert run.of("send") == [f"send {number}" for number in range(200) if number % 9]
    assert (run.tally.done, dict(run.tally.left)) == (177, {"other": 23})
    assert run.asked == ([100, 100] if in_flight < 100 else [200])


async def test_what_is_refused_stays_and_all_that_was_confirmed_is_removed_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, bodies(9), refused=[b"1"])
    with pytest.raises(NotRouted):
        await run.run(Manner(in_flight=4), left=[2])
    assert run.of("remove", "settled") == ["remove 0", "remove 3", "remove 4", "settled"]
    assert run.tally.as_json() == {"queue": QUEUE, "looked_at": 9, "matched": 9, "done": 3, "left": {"other": 1}}


async def test_where_none_is_confirmed_none_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(monkeypatch, bodies(3), refused=bodies(3))
    with pytest.raises(LinkError):
        await run.run(Manner(in_flight=3))
    assert run.of("remove", "settled") == []
    assert run.tally.done == 0


async def test_the_limit_counts_what_is_sent_and_not_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    run = await Run(monkeypatch, bodies(20)).run(Manner(in_flight=4, limit=6), left=[1, 5])
    assert run.of("send") == [f"send {number}" for number in (0, 2, 3, 4, 6, 7)]
    assert run.asked == [6, 2]
    assert run.tally.done == 6


async def test_a_window_has_the_letters_of_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ManualClock()
    run = await Run(monkeypatch, bodies(7)).run(Manner(in_flight=50, rate=3, clock=clock))
    assert run.asked == [3, 3, 1]
    assert clock.slept == [0, 1, 1]
    clock = ManualClock()
    run = await Run(monkeypatch, bodies(3)).run(Manner(in_flight=50, rate=0.5, clock=clock))
    assert run.asked == [1, 1, 1]
    assert clock.slept == [0, 2, 2]


async def test_large_letters_make_a_window_small(monkeypatch: pytest.MonkeyPatch) -> None:
    large = [b"%d" % number + b" " * (WINDOW_BYTES // 2) for number in range(5)]
    assert (await Run(monkeypatch, large).run(Manner(in_flight=50))).asked == [2, 2, 1]


async def test_a_sitting_ends_with_what_it_has_collected(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here each sitting is over with its first letter, whether that is meant or not."""
    monkeypatch.setattr(transfer, "SITTING", 0.0)
    told: list[Any] = []
    manner = Manner(in_flight=50, dry_run=True, report=lambda *what: told.append(what))
    run = await Run(monkeypatch, bodies(4)).run(manner, left=[3], wanted=Filter(reason="invalid"))
    assert run.asked == [1, 1, 1, 1]
    assert run.tally.as_json() == {"queue": QUEUE, "looked_at": 4, "matched": 4, "done": 3, "left": {"other": 1}}
    assert told[-1] == (QUEUE, 4, 3)
    assert run.of("send", "remove") == []


async def test_what_is_on_its_way_when_it_is_interrupted_is_removed_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run = Run(monkeypatch, bodies(9))
    under_way = asyncio.create_task(run.run(Manner(in_flight=3)))
    while not run.of("send"):  # noqa: ASYNC110 to the turn: with the next one they are confirmed
        await asyncio.sleep(0)
    under_way.cancel()
    with pytest.raises(asyncio.CancelledError):
        await under_way
    assert run.of("send", "remove") == [f"{what} {number}" for what in ("send", "remove") for number in range(3)]
    assert (run.log[-2:], run.tally.done) == (["settled", "close"], 3)


@pytest.mark.parametrize("in_flight", [-1, 0, 1001])
async def test_a_window_that_cannot_be_is_refused(monkeypatch: pytest.MonkeyPatch, in_flight: int) -> None:
    with pytest.raises(UsageError, match=f"in_flight is {in_flight}"):
        await Run(monkeypatch, bodies(1)).run(Manner(in_flight=in_flight))
