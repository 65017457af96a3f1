"""The consumer between a link, a writer and a DLQ that do what the test says."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from penstock.batch import Buffer
from penstock.clock import SystemClock
from penstock.codec import Codec
from penstock.consumer import Consumer, decided
from penstock.errors import FuseBlown, PublishError, SinkUnavailable, SpillFirst
from penstock.fuse import Fuse
from penstock.metrics import Metrics
from penstock.outcome import DUPLICATE, SUPERSEDED, WRITTEN, Poison
from penstock.settings import BatchSettings, BreakerSettings, Limits, RetrySettings, Settings
from penstock.settlement import Settler
from penstock.testing import MemorySink, make_delivery, make_record
from support.handing import Retries, handover, suspects_of
from support.notes import notes_worker
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from penstock.delivery import Delivery
    from penstock.link import Link
    from penstock.outcome import Outcome, Refusal
    from penstock.record import Record
    from penstock.writer import Writer

POISON = Poison("not_json", "E", "m")
AWAY = SinkUnavailable("away")
SETTINGS = Settings(
    batch=BatchSettings(count=3, period=0),
    retry=RetrySettings(min=0.01, max=0.01),
    breaker=BreakerSettings(probe_min=3600, probe_max=3600),
)


class FakeLink:
    """One generation after the other, without a broker. `story` is shared by all parts of the bench."""

    def __init__(self, story: list[Any]) -> None:
        self.buffer = Buffer(SystemClock())
        self.paused_for: set[str] = set()
        self._story = story
        self._generation = 1
        self._tag = 0
        self._ended = asyncio.Event()

    def deliver(self, *bodies: bytes) -> None:
        """Put deliveries in the buffer, numbered on."""
        for body in bodies:
            self._tag += 1
            self.buffer.extend([make_delivery(body, tag=self._tag, generation=self._generation)])

    def lose(self) -> None:
        """End the generation; the next one is there at once."""
        self._generation, self._tag = self._generation + 1, 0
        self.buffer.clear()
        self.buffer.wake()
        self._ended.set()
        self._ended = asyncio.Event()

    def is_current(self, delivery: Delivery) -> bool:
        return delivery.generation == self._generation

    async def lost(self, delivery: Delivery) -> None:
        if self.is_current(delivery):
            await self._ended.wait()

    async def pause(self, reason: str) -> None:
        self._story.append(f"pause {reason}")
        self.paused_for.add(reason)

    async def resume(self, reason: str) -> None:
        if reason in self.paused_for:
            self._story.append(f"resume {reason}")
            self.paused_for.discard(reason)

    async def give_back(self) -> None:
        self._story.append("give back")
        self.lose()

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> int:
        mine = [delivery.tag for delivery in deliveries if self.is_current(delivery)]
        if mine:
            self._story.append(("ack", mine))
        return len(mine)


class Noting(Codec):
    """Notes what it decodes."""

    def __init__(self) -> None:
        super().__init__(notes_worker(MemorySink()), Limits())
        self.bodies: list[bytes] = []

    def decode(self, delivery: Delivery) -> Record | Poison:
        self.bodies.append(delivery.body)
        return super().decode(delivery)


class FakeWriter:
    """Raises the errors it was given, one a write; then everything is written. Recovers when told.

    A write takes so many seconds; `decoded` is how many deliveries were decoded at the end of each.
    """

    def __init__(self, story: list[Any], errors: Sequence[Exception], codec: Noting, takes: float) -> None:
        self.recovered = asyncio.Event()
        self.decoded: list[int] = []
        self._story = story
        self._errors = list(errors)
        self._codec = codec
        self._takes = takes

    async def write(self, records: Sequence[Record], refused: Sequence[Refusal] = ()) -> list[Outcome]:
        self._story.append(("write", [record.row["id"] for record in records], len(refused)))
        if self._errors:
            raise self._errors.pop(0)
        await asyncio.sleep(self._takes)
        self.decoded.append(len(self._codec.bodies))
        return [WRITTEN] * len(records)

    async def recover(self) -> None:
        await self.recovered.wait()


class FakeDeadLetters:
    """Refuses as many letters as it was told."""

    def __init__(self, story: list[Any], refuses: int) -> None:
        self.refuses = refuses
        self._story = story

    async def publish(self, delivery: Delivery, _refusal: Refusal, _key: str | None, _at: float) -> None:
        if self.refuses:
            self.refuses -= 1
            self._story.append(("refused", delivery.tag))
            raise PublishError("no queue")
        self._story.append(("letter", delivery.tag))


class Bench:
    """A consumer under way, and the story of what it did."""

    def __init__(self, *errors: Exception, refuses: int = 0, settings: Settings = SETTINGS, takes: float = 0) -> None:
        self.story: list[Any] = []
        self.link = FakeLink(self.story)
        self.codec = Noting()
        self.writer = FakeWriter(self.story, errors, self.codec, takes)
        self.letters = FakeDeadLetters(self.story, refuses)
        self.metrics = Metrics("notes")
        self.retries = Retries()
        worker = notes_worker(MemorySink())
        link = cast("Link", self.link)
        self.consumer = Consumer(
            self.codec,
            link,
            cast("Writer", self.writer),
            Settler(
                link,
                handover(self.letters, self.retries, self.metrics),
                suspects_of(worker, settings, self.metrics),
                self.metrics,
            ),
            fuse=Fuse(settings.fuse),
            settings=settings,
            clock=SystemClock(),
            metrics=self.metrics,
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.Task[None]]:
        """Run it; at the end it is stopped, which must not take long."""
        task = asyncio.create_task(self.consumer.run())
        try:
            yield task
            await self.consumer.stop()
            async with asyncio.timeout(5):
                await task
        finally:
            task.cancel()

    async def tells(self, event: object, times: int = 1) -> None:
        """Wait for an event of the story."""
        await until(lambda: self.story.count(event) >= times, f"{event} in {self.story}", 5)


def note(number: int) -> bytes:
    return b'{"id": %d}' % number


async def test_a_batch_is_settled_before_the_next_is_written_and_letters_before_their_acks() -> None:
    bench = Bench()
    bench.link.deliver(note(1), b"bad", note(3), note(4), b"worse", b"worst")
    async with bench.running():
        await bench.tells(("ack", [4]))
    assert bench.story == [
        ("write", [1, 3], 1),
        ("letter", 2),
        ("ack", [2]),
        ("ack", [1, 3]),
        ("write", [4], 2),
        ("letter", 5),
        ("letter", 6),
        ("ack", [5, 6]),
        ("ack", [4]),
        "pause stopping",
    ]


async def test_the_next_batch_is_decoded_while_one_is_written_and_only_once() -> None:
    bench = Bench(takes=0.01)
    bench.link.deliver(*map(note, range(7)))
    async with bench.running():
        await bench.tells(("ack", [7]))
    assert bench.writer.decoded == [6, 7, 7]
    assert bench.codec.bodies == [*map(note, range(7))]


async def test_nothing_is_decoded_while_a_suspect_is_tried() -> None:
    bench = Bench(takes=0.01)
    bench.consumer._suspects.under_way = "a suspect"  # noqa: SLF001 what is written is one, for all the consumer knows
    bench.consumer._suspects._condemned = True  # noqa: SLF001 and its notes are none of the consumer's
    bench.link.deliver(*map(note, range(7)))
    async with bench.running():
        await until(lambda: bench.writer.decoded, "one is written", 5)
    assert bench.writer.decoded[0] == 3


async def test_batches_that_take_the_sink_too_long_get_smaller() -> None:
    slow = SETTINGS.model_copy(update={"batch": BatchSettings(count=4, period=0, write_seconds=0.001)})
    bench = Bench(settings=slow, takes=0.02)
    bench.link.deliver(*map(note, range(7)))
    async with bench.running():
        await bench.tells(("ack", [7]))
    assert [event[1] for event in bench.story if event[0] == "write"] == [[0, 1, 2, 3], [4, 5], [6]]


async def test_after_an_outage_the_same_batch_is_written_again_and_the_consumer_resumed() -> None:
    bench = Bench(AWAY, AWAY)
    bench.link.deliver(note(1), note(2))
    async with bench.running():
        await bench.tells("pause sink")
        assert bench.consumer.trouble == "away"
        assert [delivery.tag for delivery in bench.consumer.held] == [1, 2]
        bench.writer.recovered.set()
        await bench.tells(("ack", [1, 2]))
        assert bench.consumer.trouble == ""
    written = ("write", [1, 2], 0)
    assert bench.story == [
        *(written, "pause sink", written, "pause sink", written, "resume sink"),
        *(("ack", [1, 2]), "pause stopping"),
    ]


async def test_while_the_spill_is_written_first_the_batch_is_held_and_the_consumer_paused() -> None:
    bench = Bench(SpillFirst("older ones first"))
    bench.link.deliver(note(1), note(2))
    async with bench.running():
        await bench.tells("pause spill")
        assert bench.link.paused_for == {"spill"}
        bench.writer.recovered.set()
        await bench.tells(("ack", [1, 2]))
        assert (bench.link.paused_for, bench.consumer.trouble) == (set(), "")
    written = ("write", [1, 2], 0)
    assert bench.story == [written, "pause spill", written, "resume spill", ("ack", [1, 2]), "pause stopping"]


async def test_stop_in_an_outage_returns_at_once_and_settles_nothing() -> None:
    bench = Bench(AWAY)
    bench.link.deliver(note(1), b"bad")
    async with bench.running():
        await bench.tells("pause sink")
    assert bench.story == [("write", [1], 1), "pause sink", "pause stopping"]
    assert bench.metrics.summary() == {
        "received": 0, "written": 0, "duplicate": 0, "superseded": 0, "dead_lettered": 0,
    }  # fmt: skip


async def test_what_was_lost_in_an_outage_is_not_written_again_but_what_comes_instead() -> None:
    bench = Bench(AWAY)
    bench.link.deliver(note(1), note(2))
    async with bench.running():
        await bench.tells("pause sink")
        bench.link.lose()
        await asyncio.sleep(0.01)
        bench.writer.recovered.set()
        await bench.tells("resume sink")
        assert bench.consumer.held == ()
        bench.link.deliver(note(1), note(2), note(3))
        await bench.tells(("ack", [1, 2, 3]))
    assert "give back" not in bench.story
    assert [event for event in bench.story if event[0] == "write"] == [("write", [1, 2], 0), ("write", [1, 2, 3], 0)]


async def test_what_is_held_too_long_is_given_back_once_and_the_rest_waits_for_the_sink() -> None:
    bench = Bench(AWAY, settings=SETTINGS.model_copy(update={"limits": Limits(hold_seconds=0.02)}))
    bench.link.deliver(note(1), note(2))
    async with bench.running():
        await bench.tells("give back")
        assert bench.link.paused_for == {"sink"}
        assert bench.consumer.trouble == "away"
        bench.writer.recovered.set()
        await bench.tells("resume sink")
    assert bench.story.count("give back") == 1
    assert not [event for event in bench.story if event[0] == "ack"]


async def test_stop_after_giving_back_returns_at_once() -> None:
    bench = Bench(AWAY, settings=SETTINGS.model_copy(update={"limits": Limits(hold_seconds=0.02)}))
    bench.link.deliver(note(1))
    async with bench.running():
        await bench.tells("give back")


async def test_a_blown_fuse_is_tried_again_when_the_settings_are_read_again() -> None:
    bench = Bench(FuseBlown("too many"))
    bench.link.deliver(note(1))
    async with bench.running():
        await bench.tells("pause fuse")
        assert bench.metrics.registry.get_sample_value("penstock_fuse_blown", {"worker": "notes"}) == 1
        bench.consumer.reload(SETTINGS)
        await bench.tells(("ack", [1]))
        assert bench.metrics.registry.get_sample_value("penstock_fuse_blown", {"worker": "notes"}) == 0
    assert bench.story.index("resume fuse") < bench.story.index(("ack", [1]))


async def test_a_letter_that_is_refused_is_held_and_tried_again_and_nothing_is_taken_meanwhile() -> None:
    bench = Bench(refuses=2)
    bench.link.deliver(note(1), b"bad", note(3), note(4))
    async with bench.running():
        await bench.tells(("ack", [4]))
        assert bench.consumer.trouble == ""
    assert bench.story == [
        ("write", [1, 3], 1),
        ("refused", 2),
        ("ack", [1, 3]),
        "pause dead_letter",
        ("refused", 2),
        "pause dead_letter",
        ("letter", 2),
        ("ack", [2]),
        "resume dead_letter",
        ("write", [4], 0),
        ("ack", [4]),
        "pause stopping",
    ]


async def test_stop_while_a_letter_is_refused_leaves_it_unsettled() -> None:
    bench = Bench(refuses=1_000_000)
    bench.link.deliver(note(1), b"bad")
    async with bench.running():
        await bench.tells(("refused", 2), times=3)
    assert [event for event in bench.story if event[0] in {"ack", "letter"}] == [("ack", [1])]


async def test_a_letter_whose_channel_was_lost_is_left_to_the_broker() -> None:
    bench = Bench(refuses=1_000_000)
    bench.link.deliver(b"bad")
    async with bench.running():
        await bench.tells(("refused", 1), times=2)
        bench.link.lose()
        await bench.tells("resume dead_letter")
        stale = bench.metrics.registry.get_sample_value("penstock_stale_settlements_total", {"worker": "notes"})
        assert stale == 1
        bench.letters.refuses = 0
        bench.link.deliver(b"bad")
        await bench.tells(("ack", [1]))
    assert bench.story.count(("letter", 1)) == 1


async def test_stop_does_not_wait_for_a_batch_to_fill() -> None:
    bench = Bench(settings=SETTINGS.model_copy(update={"batch": BatchSettings(count=3, period=3600)}))
    async with bench.running():
        await asyncio.sleep(0)
        bench.link.deliver(note(1), note(2), note(3), note(4))
        await bench.tells(("ack", [1, 2, 3]))
    assert bench.story[-2:] == [("write", [4], 0), ("ack", [4])]


def test_each_delivery_gets_the_outcome_of_its_record_or_why_there_is_none() -> None:
    deliveries = [make_delivery(tag=tag) for tag in range(1, 6)]
    records = [make_record({}, name) for name in "abc"]
    found = decided(
        deliveries, [records[0], POISON, records[1], POISON, records[2]], [WRITTEN, SUPERSEDED, DUPLICATE], 0.0
    )
    assert [(one.delivery.tag, one.outcome, one.key) for one in found] == [
        (1, WRITTEN, records[0].key),
        (2, POISON, None),
        (3, SUPERSEDED, records[1].key),
        (4, POISON, None),
        (5, DUPLICATE, records[2].key),
    ]


def test_nothing_decides_nothing() -> None:
    assert decided([], [], [], 0.0) == []
