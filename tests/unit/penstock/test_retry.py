"""Delays and start-up."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from penstock.errors import LinkError
from penstock.retry import backoff, until_it_works
from penstock.settings import RetrySettings
from support.clock import ManualClock

SETTINGS = RetrySettings(min=0.5, max=30)


def test_delays_double_up_to_the_longest() -> None:
    clock = ManualClock()
    assert [backoff(n, SETTINGS, clock) for n in range(1, 9)] == [0.5, 1, 2, 4, 8, 16, 30, 30]
    assert backoff(10_000, SETTINGS, clock) == 30


async def test_start_up_announces_five_tries_and_then_goes_on() -> None:
    clock = ManualClock()
    tries = 0

    async def action() -> str:
        nonlocal tries
        tries += 1
        if tries < 9:
            raise LinkError("no broker")
        return "there"

    with capture_logs() as logs:
        found = await until_it_works(
            action, what="rabbitmq", errors=LinkError, settings=SETTINGS, clock=clock, give_up=False
        )
    assert found == "there"
    assert clock.slept == [0.5, 1, 2, 4, 30, 30, 30, 30]
    assert [line["text"] for line in logs[:2]] == ["attempt 1 of 5, next in 0.5 s", "attempt 2 of 5, next in 1.0 s"]
    assert logs[6]["text"] == "attempt 7, still trying, next in 30.0 s"


async def test_start_up_can_give_up_after_five() -> None:
    clock = ManualClock()

    async def action() -> None:
        raise LinkError("no broker")

    with pytest.raises(LinkError, match="no broker"):
        await until_it_works(action, what="x", errors=LinkError, settings=SETTINGS, clock=clock, give_up=True)
    assert len(clock.slept) == 4
