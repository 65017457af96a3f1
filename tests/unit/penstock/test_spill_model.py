"""Whatever happens to sink, disk space and process: what was acked is in the sink at the end, once, in order."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import SinkUnavailable
from penstock.testing import MemorySink
from support.spilling import AWAY, Bench

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pytest

    from penstock.outcome import Outcome
    from penstock.record import Batch

#: So few that it is often full.
ROOM = 7
#: Seconds that the sink takes for a batch.
WRITE = 0.002
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["arrive", "write"]), st.integers(1, 4)),
        st.tuples(st.sampled_from(["down", "up", "lose an answer"]), st.just(0)),
        # Two pages at least, and so many quarters of a millisecond to write them in.
        st.tuples(st.just("outage"), st.integers(0, 24)),
        # A kill so many turns of the loop after a write was begun.
        st.tuples(st.just("kill"), st.integers(0, 12)),
    ),
    max_size=25,
)


class ForgetfulSink(MemorySink):
    """Commits, and loses the answer, when told."""

    def __init__(self) -> None:
        super().__init__("append")
        self.loses_an_answer = False

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        await asyncio.sleep(WRITE)
        outcomes = await super().write(batch)
        if self.loses_an_answer:
            self.loses_an_answer = False
            self.outage = AWAY
            raise AWAY
        return outcomes


class World:
    """A queue, and one process after the other that takes from it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.sink = ForgetfulSink()
        self.pending: list[int] = []
        self.acked: list[int] = []
        self._arrived = 0

    async def start(self) -> None:
        self.bench = Bench(self.folder, self.sink, spill={"records": ROOM})
        await self.bench.spill.open()
        await self.bench.open_sink()
        self._draining = asyncio.create_task(self.bench.spill.run())

    def arrive(self, count: int) -> None:
        self.pending += range(self._arrived, self._arrived + count)
        self._arrived += count

    async def write(self, count: int) -> None:
        """The consumer's turn: a batch is acked whole, or nothing of it is."""
        batch = self.pending[:count]
        spilled = self.bench.metric("spilled_total")
        try:
            outcomes = await self.bench.write(*batch)
        except SinkUnavailable:
            assert self.bench.metric("spilled_total") == spilled, "a batch that is not acked is not taken either"
            return
        assert len(outcomes) == len(batch)
        self.acked += batch
        del self.pending[: len(batch)]

    async def outage(self, quarters: int) -> None:
        """Spill some, and have more come while that is drained."""
        self.bench.down()
        self.arrive(6)
        for _ in range(3):
            await self.write(2)
        if quarters % 2:
            # It answers, and no probe is due yet.
            self.sink.outage = None
            self.arrive(1)
            await self.write(1)
        self.bench.up()
        await asyncio.sleep(quarters * 0.000_25)
        self.arrive(1)
        await self.write(1)

    async def kill(self, turns: int) -> None:
        """End as a kill does: what is not committed by now never will be; the broker delivers again."""
        writing = asyncio.create_task(self.write(3))
        for _ in range(turns):
            await asyncio.sleep(0)
        tasks = (writing, self._draining)
        for task in tasks:
            task.cancel()
        store = self.bench.spill._store  # noqa: SLF001 nothing but a crash ends it like this
        assert store is not None
        store._journal._changes.clear()  # noqa: SLF001 as above
        await asyncio.gather(*tasks, return_exceptions=True)
        await store.close()

    async def finish(self) -> None:
        """The sink comes back for good; all is written."""
        self.sink.loses_an_answer = False
        for _ in range(200):
            if not self.pending and self.bench.spill.phase == "clear":
                break
            self.bench.up()
            await asyncio.sleep(0)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.01):
                    await self.bench.spill.recover()
            await self.write(3)
        else:
            raise AssertionError(f"{self.pending} still wait; {self.bench.spill.health()}")
        self._draining.cancel()
        await asyncio.gather(self._draining, return_exceptions=True)
        await self.bench.spill.close()


@settings(max_examples=60, deadline=None)
@given(STEPS)
async def test_whatever_happens_what_was_acked_is_in_the_sink_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int]]
) -> None:
    world = World(tmp_path_factory.mktemp("world"))
    await world.start()
    for step, count in steps:
        match step:
            case "arrive":
                world.arrive(count)
            case "write":
                await world.write(count)
            case "down":
                world.bench.down()
            case "up":
                world.bench.up()
            case "outage":
                await world.outage(count)
            case "lose an answer":
                world.sink.loses_an_answer = True
            case _:
                await world.kill(count)
                await world.start()
    await world.finish()
    assert world.acked == sorted(set(world.acked))
    found = [record.row["id"] for record in world.sink.events]
    # Nothing lost, nothing twice (the ledger has seen to what was sent twice), and in order.
    assert found == list(range(len(world.acked)))
