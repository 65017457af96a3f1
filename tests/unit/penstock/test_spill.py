"""The spill between a consumer and a sink: what is acked is written or on the disk, and older records come first."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from pydantic import Field

from penstock.clock import SystemClock
from penstock.errors import FuseBlown, SinkUnavailable, SpillFirst
from penstock.outcome import DUPLICATE, SPILLED, WRITTEN, Poison, Transient
from penstock.process import WorkerProcess
from penstock.settings import FuseSettings, RetrySettings, Settings
from penstock.testing import MemorySink
from support.disk import full_disk
from support.spilling import AWAY, PROBE, Bench, Event, Queue, event_worker, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from penstock.outcome import Refusal
    from penstock.record import Record


async def test_while_the_sink_is_down_batches_are_spilled_and_then_written_before_newer_ones(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        assert await bench.write(1) == [WRITTEN]
        bench.down()
        assert await bench.write(2, 3) == [SPILLED, SPILLED]
        assert await bench.write(4, 5) == [SPILLED, SPILLED]
        assert (bench.spill.phase, bench.ids) == ("filling", [1])
        assert bench.metric("spill_records") == 4
        bench.up()
        await bench.drained()
        assert await bench.write(6) == [WRITTEN]
    assert bench.ids == [1, 2, 3, 4, 5, 6]
    assert [len(batch) for batch in bench.sink.batches] == [1, 3, 1, 1]
    assert (bench.metric("spilled_total"), bench.metric("spill_drained_total")) == (4, 4)
    assert bench.metric("spill_records") == 0


async def test_a_batch_waits_while_older_records_are_written(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        bench.down()
        await bench.write(1)
        await bench.write_bodies(b"[]", b'{"id": 2}')
        # The broker is away, so the first of what is spilled cannot be settled, and nothing goes on.
        bench.letters.away = True
        bench.sink.refuses = lambda record: Poison("x", "E", "m") if record.row["id"] == 1 else None
        bench.up()
        await bench.until(lambda: bench.spill.trouble != "", "the letter is not confirmed")
        assert bench.spill.trouble == "1 dead letters are not confirmed"
        with pytest.raises(SpillFirst, match="1 dead letters are not confirmed"):
            await bench.write(3)
        waiting = asyncio.create_task(bench.spill.recover())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bench.letters.away = False
        bench.clock.advance(1)
        await waiting
        assert (bench.spill.phase, bench.spill.trouble) == ("clear", "")
        assert await bench.write(3) == [WRITTEN]
    assert bench.ids == [2, 3]
    assert bench.letters.taken == [b'{"id": 1, "name": "a"}']
    assert len(bench.letters.keys[0] or "") == 64


async def test_a_spilled_record_that_must_wait_leaves_the_spill_once_it_is_in_a_retry_queue(tmp_path: Path) -> None:
    bench = Bench(tmp_path, retry=RetrySettings(min=1, max=1, jitter=0, max_attempts=3, write_timeout=3600))

    def later(condition: Callable[[], bool]) -> bool:
        bench.clock.advance(1)
        return condition()

    async with bench.running():
        bench.down()
        await bench.write(1)
        await bench.write(2)
        bench.retries.away = True
        bench.sink.refuses = lambda record: Transient("foreign_key", "E", "m") if record.row["id"] == 1 else None
        bench.up()
        await bench.until(lambda: later(lambda: bench.spill.trouble != ""), "the retry is not confirmed")
        assert bench.spill.trouble == "1 retries are not confirmed"
        assert bench.metric("spill_records") == 1
        bench.retries.away = False
        await bench.until(lambda: later(lambda: bench.spill.phase == "clear"), "it is confirmed")
    [(delivery, delay)] = bench.retries.taken
    assert (delivery.body, delay) == (b'{"id": 1, "name": "a"}', 1000)
    assert (bench.ids, bench.letters.taken) == ([2], [])


async def test_what_comes_back_from_the_spill_has_the_key_it_went_with(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        await bench.write(1)
        bench.down()
        # Acked, perhaps, and delivered again all the same.
        await bench.write(1)
        await bench.write(2)
        await bench.write(2)
        bench.up()
        await bench.drained()
        assert await bench.write(2) == [DUPLICATE]
    assert [record.row["id"] for record in bench.sink.events] == [1, 2]


async def test_a_full_spill_takes_nothing_of_a_batch_and_drops_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spill={"records": 4})
    async with bench.running():
        bench.down()
        await bench.write(1, 2, 3)
        with pytest.raises(SinkUnavailable, match=r"is full: it may hold 4 records; .* the sink is away\)$"):
            await bench.write(4, 5)
        assert "is full" in bench.spill.trouble
        waiting = asyncio.create_task(bench.spill.recover())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        assert await bench.write(4) == [SPILLED]
        assert bench.spill.trouble == ""
        bench.up()
        await waiting
        assert await bench.write(5) == [WRITTEN]
    assert bench.ids == [1, 2, 3, 4, 5]


async def test_a_batch_larger_than_the_spill_waits_for_the_sink(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spill={"byte_size": 10})
    async with bench.running():
        bench.down()
        with pytest.raises(SinkUnavailable, match="is full"):
            await bench.write(1)
        assert bench.spill.phase == "clear"
        waiting = asyncio.create_task(bench.spill.recover())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bench.up()
        await waiting
        assert await bench.write(1) == [WRITTEN]
        assert bench.spill.trouble == ""
    assert bench.ids == [1]


async def test_when_the_oldest_waits_too_long_nothing_more_is_taken(tmp_path: Path) -> None:
    bench = Bench(tmp_path, spill={"age": 60})
    async with bench.running():
        bench.down()
        await bench.write(1)
        bench.clock.time += 61
        with pytest.raises(SinkUnavailable, match="its oldest record waits 61 s, 60 are allowed"):
            await bench.write(2)
        assert bench.metric("spill_oldest_age_seconds") == 61


async def test_a_disk_that_fails_is_an_outage_and_is_tried_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        bench.down()
        await bench.write(1)
        with full_disk(100_000), pytest.raises(SinkUnavailable, match="free some space on its disk"):
            await bench.write(2, name="a" * 200_000)
        assert "free some space" in bench.spill.trouble
        waiting = asyncio.create_task(bench.spill.recover())
        await asyncio.sleep(0.01)
        assert not waiting.done()
        bench.clock.advance(PROBE)
        await waiting
        assert await bench.write(2) == [SPILLED]
        assert bench.spill.trouble == ""
        bench.up()
        await bench.drained()
    assert bench.ids == [1, 2]


async def test_a_sink_that_goes_away_again_while_it_is_drained(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    failures = iter([AWAY])

    def refuses(record: Record) -> Refusal | None:
        if record.row["id"] == 4:
            for outage in failures:
                bench.down()
                raise outage
        return None

    bench.sink.refuses = refuses
    async with bench.running():
        bench.down()
        await bench.write(1, 2, 3)
        await bench.write(4)
        bench.up()
        await bench.until(lambda: bench.spill.phase == "filling" and bench.ids == [1, 2, 3], "it fills again")
        assert await bench.write(5) == [SPILLED]
        bench.up()
        await bench.drained()
    assert bench.ids == [1, 2, 3, 4, 5]


async def test_what_a_process_left_is_written_by_the_next_before_newer_records(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    async with first.running():
        first.down()
        await first.write(1, 2)
        await first.write(3, 4)
    # The sink is away at its start, too.
    second = Bench(tmp_path, first.sink, clock=first.clock)
    async with second.running():
        assert await second.write(5) == [SPILLED]
        second.up()
        await second.drained()
        assert await second.write(6) == [WRITTEN]
    assert second.ids == [1, 2, 3, 4, 5, 6]


async def test_a_sink_that_is_away_at_the_start_fills_the_spill(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    bench.down()
    async with bench.running():
        assert await bench.write(1) == [SPILLED]
        bench.up()
        await bench.drained()
        assert await bench.write(2) == [WRITTEN]
    assert bench.ids == [1, 2]


async def test_what_a_lost_replica_left_is_written_too(tmp_path: Path) -> None:
    """Three replicas spilled; one comes back."""
    sink = MemorySink("append")
    for number in (1, 2, 3):
        async with Bench(tmp_path, sink).running():
            pass
        (tmp_path / "events.1.sqlite").rename(tmp_path / f"hidden{number}")
    for number in (1, 2, 3):
        (tmp_path / f"hidden{number}").rename(tmp_path / f"events.{number}.sqlite")
    replicas = [Bench(tmp_path, sink) for _ in range(3)]
    async with replicas[0].running(), replicas[1].running(), replicas[2].running():
        for number, replica in enumerate(replicas):
            replica.down()
            await replica.write(number)
    sink.outage = None
    bench = Bench(tmp_path, sink)
    async with bench.running():
        await bench.drained()
        assert await bench.write(3) == [WRITTEN]
    assert bench.ids == [0, 1, 2, 3]


class Stricter(Event):
    id: int = Field(gt=1)


async def test_a_record_that_the_new_model_does_not_take_is_a_dead_letter(tmp_path: Path) -> None:
    first = Bench(tmp_path)
    async with first.running():
        first.down()
        await first.write(1, 2)
    second = Bench(tmp_path, model=Stricter)
    async with second.running():
        await second.drained()
    assert (second.ids, second.letters.taken) == ([2], [b'{"id": 1, "name": "a"}'])
    assert second.metric("spill_drained_total") == 2


async def test_too_many_refused_records_stop_the_drain_until_the_settings_are_read_again(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fuse=FuseSettings(window=3, percent=40))
    async with bench.running():
        bench.down()
        await bench.write(1, 2, 3)
        bench.sink.refuses = lambda _: Poison("not_null", "23502", "m")
        bench.up()
        await bench.until(lambda: "were refused" in bench.spill.trouble, "the fuse blows")
        assert bench.metric("fuse_blown") == 1
        assert (bench.letters.taken, bench.metric("spill_records")) == ([], 3)
        with pytest.raises(SpillFirst, match="were refused"):
            await bench.write(4)
        bench.sink.refuses = lambda _: None
        bench.spill.reload(bench.settings)
        await bench.drained()
        assert bench.metric("fuse_blown") == 0
    assert bench.ids == [1, 2, 3]


async def test_bad_records_of_a_spilled_batch_count_for_the_fuse(tmp_path: Path) -> None:
    bench = Bench(tmp_path, fuse=FuseSettings(window=3, percent=40))
    async with bench.running():
        bench.down()
        assert await bench.write_bodies(b"[]", b'{"id": 1}', b'{"id": 2}') == [SPILLED, SPILLED]
        with pytest.raises(FuseBlown):
            await bench.write_bodies(b"[]", b"[]", b'{"id": 3}')
        assert await bench.write_bodies(b"[]") == []
        assert bench.metric("spill_records") == 2


async def test_at_the_end_what_is_left_is_published_back(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        bench.down()
        await bench.write(1, 2)
        await bench.write(3)
        bench.spill.stop()
        with pytest.raises(SinkUnavailable, match="the sink is away"):
            await bench.write(4)
        await bench.spill.drained(10)
        queue = Queue()
        await bench.spill.publish_back(queue.link)
        assert queue.bodies == [b'{"id": %d, "name": "a"}' % number for number in (1, 2, 3)]
        assert bench.spill.empty


async def test_an_outage_met_after_the_end_has_begun_is_not_spilled(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        bench.spill.stop()
        bench.down()
        with pytest.raises(SinkUnavailable, match="the sink is away"):
            await bench.write(1)
        assert bench.spill.empty


async def test_what_the_broker_does_not_confirm_stays_for_the_next_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        bench.down()
        await bench.write(1, 2, 3)
        queue = Queue(takes=1)
        await bench.spill.publish_back(queue.link)
        assert (len(queue.bodies), bench.metric("spill_records")) == (1, 2)
    second = Bench(tmp_path)
    async with second.running():
        await second.drained()
    assert second.ids == [2, 3]


async def test_at_the_end_a_sink_that_answers_is_given_its_time(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    async with bench.running():
        bench.down()
        await bench.write(1, 2, 3)
        await bench.write(4)
        bench.up()
        await bench.until(lambda: bench.spill.phase != "filling", "it is drained")
        bench.spill.stop()
        await bench.spill.drained(10)
        queue = Queue()
        await bench.spill.publish_back(queue.link)
    assert (bench.ids, queue.bodies) == ([1, 2, 3, 4], [])


async def test_the_worker_is_ready_while_older_records_are_written_first(tmp_path: Path) -> None:
    process = WorkerProcess(event_worker(MemorySink()), settings_for(tmp_path), SystemClock())
    assert process.spill is not None
    assert process.health()["spill"]["state"] == "clear"
    process.consumer.trouble = "older records come first"
    process.link.paused_for = {"spill"}
    assert process.ready() is None
    process.link.paused_for = {"spill", "dead_letter"}
    assert process.ready() == "older records come first"
    without = WorkerProcess(event_worker(MemorySink()), Settings(), SystemClock())
    assert without.spill is None
    assert without.health()["spill"] is None


async def test_its_health(tmp_path: Path) -> None:
    bench = Bench(tmp_path)
    assert bench.spill.health()["file"] is None
    async with bench.running():
        bench.down()
        await bench.write(1)
        bench.clock.time += 2
        health = bench.spill.health()
        assert health.pop("bytes") > 20
        assert health == {
            "state": "filling",
            "file": str(tmp_path / "events.1.sqlite"),
            "records": 1,
            "oldest_age_seconds": 2.0,
            "damaged": 0,
            "trouble": None,
        }
