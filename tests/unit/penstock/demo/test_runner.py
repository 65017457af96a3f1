"""However a demo ends, its stage is cleared and people hear what went wrong."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from penstock.demo.runner import Interrupted, run
from penstock.errors import PenstockError, StackError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from penstock.demo.script import Result


class Told:
    """A display that notes what it is told."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    def show(self, _snapshot: object) -> None:
        raise AssertionError("nothing is to be shown")

    def finish(self) -> None:
        self.lines.append("(finished)")


class FakeStage:
    """A stage with one log, that may refuse to be cleared."""

    stack = SimpleNamespace(folder=Path("/demo"))

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.cleared = 0

    async def clear(self) -> None:
        self.cleared += 1
        if self.failure is not None:
            raise self.failure

    def log_ends(self) -> list[str]:
        return ["postgres: the password is s3cret"]


RESULT = cast("Result", object())
UNENDED = StackError("the server postgres with the password s3cret did not end")
ENDED = "ended the workers and the stack, and removed /demo"


async def well() -> Result:
    return RESULT


async def badly() -> Result:
    raise PenstockError("a worker ended by itself")


async def interrupted() -> Result:
    os.kill(os.getpid(), signal.SIGHUP)
    await asyncio.Event().wait()
    return RESULT


async def run_with(
    stage: FakeStage, play: Callable[[], Awaitable[Result]], told: Told, *, keep: bool = False
) -> Result:
    script: Any = SimpleNamespace(play=lambda _stage, _display: play())
    given: Any = stage
    return await run(
        script, given, told, lambda _result: None, redact=lambda text: text.replace("s3cret", "***"), keep=keep
    )


async def test_a_demo_that_goes_well_is_cleared_away_unless_it_is_to_be_kept() -> None:
    for keep, cleared in ((False, 1), (True, 0)):
        stage, told = FakeStage(), Told()
        assert await run_with(stage, well, told, keep=keep) is RESULT
        assert stage.cleared == cleared
        assert told.lines == ["(finished)", *[ENDED] * cleared]


async def test_an_error_comes_after_the_ends_of_the_logs() -> None:
    stage, told = FakeStage(), Told()
    with pytest.raises(PenstockError, match="a worker ended by itself"):
        await run_with(stage, badly, told, keep=True)
    assert told.lines == ["(finished)", "postgres: the password is ***", ENDED]
    assert stage.cleared == 1


async def test_what_cannot_be_ended_does_not_hide_what_went_wrong_first() -> None:
    told = Told()
    with pytest.raises(PenstockError, match="a worker ended by itself") as caught:
        await run_with(FakeStage(UNENDED), badly, told)
    assert caught.value.__cause__ is UNENDED
    assert told.lines[-1] == "not everything could be ended: the server postgres with the password *** did not end"
    assert ENDED not in told.lines


@pytest.mark.parametrize("play", [well, interrupted])
async def test_what_cannot_be_ended_is_an_error_of_its_own(play: Callable[[], Awaitable[Result]]) -> None:
    told = Told()
    with pytest.raises(StackError, match="did not end"):
        await run_with(FakeStage(UNENDED), play, told)
    assert ENDED not in told.lines


async def test_a_signal_ends_it() -> None:
    stage, told = FakeStage(), Told()
    with pytest.raises(Interrupted) as caught:
        await run_with(stage, interrupted, told, keep=True)
    assert caught.value.number == signal.SIGHUP
    assert told.lines == ["interrupted: ending everything that was started", ENDED]
    assert stage.cleared == 1
