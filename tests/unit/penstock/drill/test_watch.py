"""What the samples of a server say of its return."""

from __future__ import annotations

import asyncio
import time

import pytest

from penstock.drill.servers.wait import wait_until
from penstock.drill.watch import Samples, Watch


def samples(*counts: int | None) -> Samples:
    """A look each second, from 0 s on."""
    made = Samples()
    for at, count in enumerate(counts):
        made.add(float(at), count)
    return made


def test_the_return_is_the_first_answer_from_then_on() -> None:
    seen = samples(1, 2, None, None, 2, 2, 5)
    assert seen.answered(1.5) == 4
    assert seen.answered(0) == 0
    assert seen.answered(7) is None


def test_the_first_write_is_the_first_rise_over_what_the_returned_server_held() -> None:
    # The last count before the outage was stale: what had been written by then is no write after the return.
    assert samples(1, 2, None, 4, 4, 9).rose(2) == 5
    assert samples(1, None, 4, None, 4, 5).rose(1) == 5
    assert samples(1, None, 4, 4).rose(1) is None
    assert samples(1, None).rose(1) is None


def test_a_count_is_reached_when_it_is_first_seen() -> None:
    seen = samples(1, None, 4, 9)
    assert seen.reached(3) == 2
    assert seen.reached(10) is None
    assert seen.last == 9
    assert samples(None).last == 0
    assert samples(3, None).last == 3


class Server:
    def __init__(self) -> None:
        self.count = 0
        self.closed = False

    async def ask(self) -> int:
        await asyncio.sleep(0)
        if self.count < 0:
            raise ConnectionError
        return self.count

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize("answer", [3, -1])
def test_a_look_that_raises_is_no_answer_and_the_watch_goes_on(answer: int) -> None:
    server = Server()
    with Watch({"server": server}) as watch:
        seen = watch.samples["server"]
        wait_until(lambda: len(seen.times) > 1, 10, "looks")
        server.count, since = answer, time.monotonic()
        wait_until(lambda: (3 if answer == 3 else None) in seen.counts, 10, "the answer")
        server.count = 7
        wait_until(lambda: seen.rose(since) is not None or seen.last == 7, 10, "more")
    assert server.closed
    assert seen.reached(7) is not None
