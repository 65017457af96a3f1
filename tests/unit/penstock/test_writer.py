"""The writer against a sink in memory: bisection, retries, outages, supersession."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.breaker import Breaker
from penstock.deadletter.letter import ATTEMPTS_HEADER
from penstock.errors import BatchError, ConnectionLost, FuseBlown, SinkUnavailable
from penstock.failover import Failover
from penstock.fuse import Fuse
from penstock.ladder import Ladder
from penstock.metrics import Metrics
from penstock.outcome import DUPLICATE, SUPERSEDED, WRITTEN, Poison, Transient
from penstock.settings import BreakerSettings, FuseSettings, RetrySettings, Settings
from penstock.sink import Endpoint
from penstock.target import Target
from penstock.testing import MemorySink, make_record
from penstock.writer import Writer
from support.clock import ManualClock
from support.spilling import event_worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.outcome import Outcome, Refusal
    from penstock.record import Batch, Record
    from penstock.worker import Mode

POISON = Poison("constraint", "23502", "null value")
TRANSIENT = Transient("deadlock", "40P01", "deadlock detected")
SETTINGS = Settings(
    fuse=FuseSettings(percent=100), retry=RetrySettings(write_timeout=0.2), breaker=BreakerSettings(failures=3)
)


@dataclass
class Bench:
    """A writer on a sink in memory, with all that a test looks at."""

    sink: MemorySink = field(default_factory=MemorySink)
    mode: Mode = "upsert"
    settings: Settings = SETTINGS
    clock: ManualClock = field(default_factory=ManualClock)
    has_ladder: bool = False

    def __post_init__(self) -> None:
        metrics = Metrics("w")
        self.breaker = Breaker("primary", self.settings.breaker, self.clock, metrics)
        self.fuse = Fuse(self.settings.fuse)
        endpoint = Endpoint("primary", "memory:")
        self.target = Target(
            self.sink, endpoint, self.settings, breaker=self.breaker, clock=self.clock, metrics=metrics
        )
        self.failover = Failover((self.target,), self.settings, clock=self.clock, metrics=metrics)
        self.survivals = 0
        self.writer = Writer(
            self.failover,
            self.mode,
            self.settings,
            fuse=self.fuse,
            clock=self.clock,
            ladder=Ladder(event_worker(self.sink), self.settings.retry) if self.has_ladder else None,
            survived=self.survived,
        )

    async def survived(self) -> None:
        self.survivals += 1

    async def write(self, records: Sequence[Record], refused: Sequence[Poison] = ()) -> list[Outcome]:
        await self.failover.open()
        return await self.writer.write(records, refused)


def records(*names: str) -> list[Record]:
    return [make_record({"n": number}, name) for number, name in enumerate(names)]


class FailingSink(MemorySink):
    """Raises the given errors first, one a write."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.opens = 0

    async def open(self, endpoint: Endpoint) -> None:
        self.opens += 1
        await super().open(endpoint)

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        if self.errors:
            raise self.errors.pop(0)
        return await super().write(batch)


@given(st.sets(st.integers(0, 39)), st.sampled_from(["named", "unnamed"]))
async def test_exactly_the_bad_records_are_poison(bad: set[int], how: str) -> None:
    names = [f"r{number}" for number in range(40)]

    class Choosy(MemorySink):
        async def write(self, batch: Batch) -> Sequence[Outcome]:
            positions = [i for i, record in enumerate(batch.records) if record.row["n"] in bad]
            if positions:
                raise BatchError(POISON, positions if how == "named" else ())
            return await super().write(batch)

    bench = Bench(Choosy())
    outcomes = await bench.write(records(*names))
    assert outcomes == [POISON if number in bad else WRITTEN for number in range(40)]
    assert set(bench.sink.states) == {f"r{number}" for number in range(40) if number not in bad}


async def test_a_passing_failure_is_tried_again_in_place() -> None:
    bench = Bench(FailingSink(BatchError(TRANSIENT), BatchError(TRANSIENT)))
    assert await bench.write(records("a", "b")) == [WRITTEN, WRITTEN]
    assert bench.clock.slept == [0.5, 1.0]


async def test_a_record_that_never_gets_its_turn_is_given_up_alone() -> None:
    bench = Bench(MemorySink(refuses=lambda record: TRANSIENT if record.natural_key == "b" else None))
    assert await bench.write(records("a", "b", "c")) == [WRITTEN, TRANSIENT, WRITTEN]


async def test_many_that_wait_take_no_longer_than_one() -> None:
    async def slept(*waiting: str) -> list[float]:
        bench = Bench(MemorySink(refuses=lambda record: TRANSIENT if record.natural_key in waiting else None))
        outcomes = await bench.write(records(*"abcdefghij"))
        assert [outcome == TRANSIENT for outcome in outcomes] == [name in waiting for name in "abcdefghij"]
        return bench.clock.slept

    assert await slept("a", "c", "d", "j") == await slept("c")


async def test_one_that_waits_is_written_when_its_turn_comes() -> None:
    tries = 0

    def refuses(record: Record) -> Refusal | None:
        nonlocal tries
        tries += record.natural_key == "b"
        return TRANSIENT if record.natural_key == "b" and tries < 8 else None

    bench = Bench(MemorySink(refuses=refuses))
    assert await bench.write(records("a", "b", "c")) == [WRITTEN, WRITTEN, WRITTEN]


class Never(MemorySink):
    """Refuses one record for a passing reason, always. `turns` counts how often it was asked to write that."""

    def __init__(self, name: str, mode: Mode = "upsert") -> None:
        super().__init__(mode)
        self.name = name
        self.turns = 0

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        if any(record.natural_key == self.name for record in batch.records):
            self.turns += 1
            raise BatchError(TRANSIENT)
        return await super().write(batch)


def waits(delay: int) -> Transient:
    return replace(TRANSIENT, delay=delay)


async def test_a_record_that_may_be_late_gets_three_turns_and_then_waits_in_a_retry_queue() -> None:
    sink = Never("b")
    bench = Bench(sink, has_ladder=True)
    assert await bench.write([make_record({}, "b", version=1)]) == [waits(1000)]
    assert sink.turns == 3
    # What the sink has answered ends no process: that is said before each wait.
    assert bench.survivals == len(bench.clock.slept) == 2


async def test_in_a_batch_the_turns_of_the_batch_are_its_own() -> None:
    bench = Bench(Never("b"), has_ladder=True)
    batch = [make_record({}, name, version=1) for name in "abcd"]
    assert await bench.write(batch) == [WRITTEN, waits(1000), WRITTEN, WRITTEN]
    assert len(bench.clock.slept) == 2


async def test_events_may_be_late_and_a_state_without_a_version_may_not() -> None:
    assert await Bench(Never("a", "append"), "append", has_ladder=True).write(records("a")) == [waits(1000)]
    bench = Bench(Never("a"), has_ladder=True)
    assert await bench.write(records("a")) == [TRANSIENT]
    assert len(bench.clock.slept) == SETTINGS.retry.max_attempts - 1


async def test_after_its_last_attempt_it_has_no_delay_and_counts_for_the_fuse() -> None:
    def tried(name: str, attempts: int) -> Record:
        record = make_record({}, name, version=1)
        record.delivery.properties.headers = {ATTEMPTS_HEADER: attempts}
        return record

    settings = SETTINGS.model_copy(update={"fuse": FuseSettings(window=10, percent=20)})
    sink = MemorySink(refuses=lambda _: TRANSIENT)
    bench = Bench(sink, settings=settings, has_ladder=True)
    assert await bench.write([tried(name, 6) for name in "abcdefgh"]) == [waits(600_000)] * 8
    assert await bench.write([tried(name, 7) for name in "ab"]) == [TRANSIENT] * 2
    with pytest.raises(FuseBlown):
        await bench.write([tried(name, 7) for name in "abc"])


async def test_a_cancellation_that_slips_out_of_a_driver_is_an_outage() -> None:
    class Leaking(MemorySink):
        async def write(self, batch: Batch) -> Sequence[Outcome]:
            if batch.records:
                raise asyncio.CancelledError
            return await super().write(batch)

    with pytest.raises(SinkUnavailable, match="unclassified CancelledError"):
        await Bench(Leaking()).write(records("a"))


async def test_our_own_cancellation_goes_through() -> None:
    class Slow(MemorySink):
        async def write(self, batch: Batch) -> Sequence[Outcome]:
            started.set()
            await asyncio.Event().wait()
            return await super().write(batch)

    started = asyncio.Event()
    writing = asyncio.create_task(Bench(Slow()).write(records("a")))
    await started.wait()
    writing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await writing


async def test_the_newest_of_a_key_stands_for_the_others() -> None:
    batch = [make_record({"v": v}, "a", version=v) for v in (1, 3, 2)]
    bench = Bench()
    assert await bench.write(batch) == [SUPERSEDED, WRITTEN, SUPERSEDED]
    assert bench.sink.states["a"].version == 3


async def test_when_the_newest_is_refused_the_next_is_written() -> None:
    def refuses(record: Record) -> Refusal | None:
        return POISON if record.version in {3, 4} else None

    batch = [make_record({"v": v}, "a", version=v) for v in (1, 3, 2, 4)]
    bench = Bench(MemorySink(refuses=refuses))
    assert await bench.write(batch) == [SUPERSEDED, POISON, WRITTEN, POISON]
    assert bench.sink.states["a"].version == 2


@pytest.mark.parametrize("mode", ["append", "update"])
async def test_only_upsert_collapses(mode: Mode) -> None:
    bench = Bench(MemorySink(mode), mode)
    assert await bench.write(records("a", "a")) == [WRITTEN, WRITTEN]


async def test_a_second_writing_is_all_duplicates() -> None:
    bench = Bench()
    batch = records("a", "b")
    await bench.write(batch)
    assert await bench.write(batch) == [DUPLICATE, DUPLICATE]


async def test_a_lost_connection_is_met_once_on_a_fresh_pool() -> None:
    sink = FailingSink(ConnectionLost("reset by peer"))
    bench = Bench(sink)
    assert await bench.write(records("a")) == [WRITTEN]
    assert sink.opens == 2
    assert bench.breaker.state == "closed"


class LosingSink(MemorySink):
    """Loses its connection at the COMMIT of the first batch, which arrived or not. `calls` lists what was asked."""

    def __init__(self, mode: Mode, *, committed: bool) -> None:
        super().__init__(mode)
        self.calls: list[str | tuple[Record, ...]] = []
        self._committed = committed

    async def open(self, endpoint: Endpoint) -> None:
        self.calls.append("open")
        await super().open(endpoint)

    async def close(self) -> None:
        self.calls.append("close")
        await super().close()

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        first = not any(isinstance(call, tuple) for call in self.calls)
        self.calls.append(batch.records)
        if not first or self._committed:
            outcomes = await super().write(batch)
        if first:
            raise ConnectionLost("no answer to COMMIT")
        return outcomes


@pytest.mark.parametrize("mode", ["upsert", "update", "append"])
@pytest.mark.parametrize("committed", [True, False])
async def test_an_ambiguous_commit_is_resolved_on_a_fresh_pool_by_key_or_hash(mode: Mode, *, committed: bool) -> None:
    sink = LosingSink(mode, committed=committed)
    batch = records("a", "b")
    assert await Bench(sink, mode).write(batch) == [DUPLICATE if committed else WRITTEN] * 2
    # The whole pool is given up before another is made, and what is written then is the batch that was held.
    held = tuple(batch)
    assert sink.calls == ["close", "open", held, "close", "open", held]
    stored = sink.events if mode == "append" else list(sink.states.values())
    assert stored == batch


async def test_a_connection_lost_twice_opens_the_breaker_at_once() -> None:
    bench = Bench(FailingSink(ConnectionLost("one"), ConnectionLost("two")))
    with pytest.raises(ConnectionLost, match="two"):
        await bench.write(records("a"))
    assert bench.breaker.state == "open"


async def test_other_outages_open_it_after_so_many_in_a_row() -> None:
    bench = Bench(FailingSink(*[SinkUnavailable("disk full")] * 3))
    with pytest.raises(SinkUnavailable, match="disk full"):
        await bench.write(records("a"))
    assert bench.clock.slept == [0.5, 1.0]
    assert bench.breaker.state == "open"


async def test_what_is_not_classified_is_an_outage_and_never_poison() -> None:
    bench = Bench(FailingSink(*[ZeroDivisionError("a bug")] * 3))
    with pytest.raises(SinkUnavailable, match="unclassified ZeroDivisionError: a bug"):
        await bench.write(records("a"))


async def test_a_write_without_an_answer_is_an_outage() -> None:
    class Frozen(MemorySink):
        async def write(self, batch: Batch) -> Sequence[Outcome]:
            await asyncio.Event().wait()
            return await super().write(batch)

    bench = Bench(Frozen())
    with pytest.raises(ConnectionLost, match=r"primary did not answer within 0\.2 s"):
        await bench.write(records("a"))


async def test_a_sink_that_miscounts_is_an_outage() -> None:
    class Miscounting(MemorySink):
        async def write(self, batch: Batch) -> Sequence[Outcome]:
            return list(await super().write(batch))[1:]

    bench = Bench(Miscounting())
    with pytest.raises(SinkUnavailable, match="1 outcomes for 2 records"):
        await bench.write(records("a", "b"))
    assert bench.breaker.state == "open"


async def test_recovery_probes_one_at_a_time_and_the_next_write_decides() -> None:
    bench = Bench()
    await bench.failover.open()
    bench.breaker.trip(ConnectionError("gone"))
    bench.sink.outage = SinkUnavailable("still gone")
    recovering = asyncio.create_task(bench.writer.recover())
    while len(bench.clock.slept) < 3:  # noqa: ASYNC110 the clock tells nobody
        await asyncio.sleep(0)
    bench.sink.outage = None
    await recovering
    assert bench.breaker.state == "half_open"
    assert all(30 <= seconds <= 60 for seconds in bench.clock.slept)
    assert await bench.writer.write(records("a")) == [WRITTEN]
    assert bench.breaker.state == "closed"


async def test_the_fuse_blows_within_a_batch_before_anything_is_settled() -> None:
    settings = SETTINGS.model_copy(update={"fuse": FuseSettings(window=20, percent=20)})
    bench = Bench(MemorySink(refuses=lambda _: POISON), settings=settings)
    with pytest.raises(FuseBlown, match=r"constraint \(23502\)"):
        await bench.write(records(*"abcdefgh"))


async def test_records_that_could_not_be_decoded_count_for_the_fuse() -> None:
    settings = SETTINGS.model_copy(update={"fuse": FuseSettings(window=20, percent=20)})
    bench: Any = Bench(settings=settings)
    with pytest.raises(FuseBlown):
        await bench.write(records("a"), refused=[POISON] * 5)
    assert bench.sink.batches == []
