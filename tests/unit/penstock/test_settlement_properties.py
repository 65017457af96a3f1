"""Settling, whatever happens: nothing is acked before its time, nothing twice, and in the end everything once."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, cast

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pamqp.commands import Basic

from penstock.batch import Buffer
from penstock.errors import LinkError
from penstock.generation import Generation
from penstock.link import Link
from penstock.metrics import Metrics
from penstock.outcome import DUPLICATE, SPILLED, SUPERSEDED, WRITTEN, Outcome, Poison, Transient
from penstock.settings import BatchSettings, Settings
from penstock.settlement import Decided, Settler
from penstock.testing import make_delivery, make_record
from support.clock import ManualClock
from support.handing import handover, suspects_of
from support.notes import GatedSink, notes_worker

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from aiormq.channel import Channel

    from penstock.delivery import Delivery
    from penstock.outcome import Refusal

OUTCOMES: list[Outcome] = [
    WRITTEN,
    DUPLICATE,
    SUPERSEDED,
    SPILLED,
    Poison("invalid", "E", "m"),
    Transient("deadlock", "E", "m"),
    Transient("foreign_key", "E", "m", delay=5000),
]


ONE = BatchSettings(count=1, period=0)


class Queue:
    """The broker: messages by number, which of them it has got an ack for, and which wait for a confirmed letter."""

    def __init__(self) -> None:
        self.messages = 0
        self.acked: set[int] = set()
        self.awaited: set[int] = set()


class FakeChannel:
    """One channel of that broker, which refuses what RabbitMQ refuses."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.given = 0
        #: Tag and message of what was delivered here and is not acked.
        self.open: dict[int, int] = {}
        #: How the next acks fail: "lost" on the way there, "deaf" on the way back.
        self.failures: list[str] = []
        self.alive = True

    def deliver(self, message: int, generation: int) -> Delivery:
        self.given += 1
        self.open[self.given] = message
        properties = Basic.Properties(message_id=str(message))
        return make_delivery(b"%d" % message, tag=self.given, generation=generation, properties=properties)

    async def basic_ack(self, delivery_tag: int, *, multiple: bool, wait: bool) -> None:
        assert self.alive, "an ack on a channel that is gone"
        assert (multiple, wait) == (True, False)
        assert delivery_tag in self.open, "PRECONDITION_FAILED - unknown delivery tag"
        failure = self.failures.pop() if self.failures else ""
        if failure != "lost":
            covered = {tag: message for tag, message in self.open.items() if tag <= delivery_tag}
            for tag, message in covered.items():
                assert message not in self.queue.acked | self.queue.awaited
                del self.open[tag]
            self.queue.acked |= set(covered.values())
        if failure:
            raise ConnectionResetError("reset")


class FakeLetters:
    """The DLQ and the retry queues: how often each message was confirmed there; those in `refused` are not."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.refused: set[int] = set()
        self.confirmed: Counter[int] = Counter()

    async def publish(self, delivery: Delivery, refusal: Refusal, key: str | None, _at: float) -> None:
        assert refusal in OUTCOMES
        assert key == delivery.body.decode()
        await asyncio.sleep(0)
        if int(delivery.body) in self.refused:
            raise LinkError("not confirmed")
        self.confirmed[int(delivery.body)] += 1
        self.queue.awaited.discard(int(delivery.body))


class FakeRetries:
    """The retry queues: confirmed, or not, as the DLQ."""

    def __init__(self, letters: FakeLetters) -> None:
        self.letters = letters

    async def publish(self, delivery: Delivery, refusal: Refusal, key: str | None, delay: int) -> None:
        assert isinstance(refusal, Transient)
        assert delay == refusal.delay == 5000
        await self.letters.publish(delivery, refusal, key, 0.0)


class SettlementMachine(RuleBasedStateMachine):
    """Any outcomes in any order, letters that are not confirmed, channels that are lost at any moment."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.metrics = Metrics("w")
        clock = ManualClock()
        worker, settings = notes_worker(GatedSink()), Settings()
        self.link = Link(worker, settings, Buffer(clock), clock, self.metrics)
        self.queue = Queue()
        self.letters = FakeLetters(self.queue)
        leaving = handover(self.letters, FakeRetries(self.letters), self.metrics)
        self.settler = Settler(self.link, leaving, suspects_of(worker, settings, self.metrics), self.metrics)
        self.generations = 0
        #: What a consumer has in hand, of the present generation and of those before.
        self.held: list[Delivery] = []
        #: What may be acked: its outcome asked for it, or its letter is confirmed.
        self.done: set[int] = set()
        self.stale = 0
        self.reopen()

    def run(self, action: Coroutine[None, None, list[Decided]]) -> list[Decided]:
        return self.loop.run_until_complete(action)

    def receive(self, message: int) -> None:
        delivery = self.channel.deliver(message, self.current.number)
        self.link._received(self.current, [delivery])  # noqa: SLF001 as the receiver does
        self.held += self.loop.run_until_complete(self.link.buffer.take(ONE))

    @rule(count=st.integers(1, 6))
    @precondition(lambda self: not self.current.ended.is_set())
    def deliver(self, count: int) -> None:
        for _ in range(count):
            self.queue.messages += 1
            self.receive(self.queue.messages)

    @rule(data=st.data())
    @precondition(lambda self: self.held)
    def settle(self, data: st.DataObject) -> None:
        chosen = data.draw(st.lists(st.sampled_from(self.held), unique_by=id, min_size=1))
        outcomes = data.draw(st.lists(st.sampled_from(OUTCOMES), min_size=len(chosen), max_size=len(chosen)))
        refused = data.draw(st.sets(st.sampled_from([int(one.body) for one in chosen])))
        self.settle_these(chosen, outcomes, refused)

    def settle_these(self, chosen: list[Delivery], outcomes: list[Outcome], refused: set[int]) -> None:
        self.letters.refused = refused
        decided = [
            Decided(one, outcome, make_record({}, one.tag, key=one.body.decode()), 0.0)
            for one, outcome in zip(chosen, outcomes, strict=True)
        ]
        current = [one for one in decided if self.link.is_current(one.delivery)]
        refusals = [one for one in current if isinstance(one.outcome, Poison | Transient)]
        unconfirmed = [one for one in refusals if int(one.delivery.body) in refused]
        self.queue.awaited = {int(one.delivery.body) for one in refusals}
        # What an ack covers while this is settled is checked at the end of it.
        acked, stale = set(self.queue.acked), self.stale_metric()
        failing = bool(self.channel.failures)
        assert self.run(self.settler.settle(decided)) == unconfirmed
        self.done |= {int(one.delivery.body) for one in current if one not in unconfirmed}
        assert self.queue.acked - acked <= self.done
        if not failing:
            assert self.stale_metric() - stale == len(decided) - len(current)
        waiting = [one.delivery for one in unconfirmed]
        self.held = [one for one in self.held if one not in chosen or one in waiting]

    def stale_metric(self) -> float:
        return sum(
            sample.value
            for family in self.metrics.registry.collect()
            for sample in family.samples
            if sample.name == "penstock_stale_settlements_total"
        )

    @rule(failure=st.sampled_from(["lost", "deaf"]))
    def fail_the_next_ack(self, failure: str) -> None:
        self.channel.failures = [failure]

    @rule()
    def lose(self) -> None:
        """The channel is gone, and the link notices."""
        self.current.end("lost")
        self.channel.alive = False

    @rule()
    @precondition(lambda self: self.current.ended.is_set())
    def reopen(self) -> None:
        """The next channel: what was not acked is delivered again, in order."""
        self.generations += 1
        self.channel = FakeChannel(self.queue)
        self.current = Generation(self.generations, cast("Channel", self.channel), 0.0)
        self.link._current = self.current  # noqa: SLF001 as the link does when it opens one
        for message in range(1, self.queue.messages + 1):
            if message not in self.queue.acked:
                self.done.discard(message)
                self.receive(message)

    @invariant()
    def nothing_is_acked_before_its_time(self) -> None:
        assert self.queue.acked <= self.done

    @invariant()
    def what_is_held_is_what_the_broker_waits_for(self) -> None:
        if not self.current.ended.is_set():
            assert self.link.held == len(self.channel.open)

    def teardown(self) -> None:
        """In the end everything is settled: with one more channel, if need be."""
        if self.current.ended.is_set():
            self.reopen()
        self.channel.failures = []
        letters = +self.letters.confirmed
        self.settle_these(list(self.held), [WRITTEN] * len(self.held), set())
        assert self.queue.acked == set(range(1, self.queue.messages + 1))
        assert self.channel.open == {}
        assert self.letters.confirmed == letters
        assert self.current.held_bytes == 0
        self.loop.close()


TestSettlement = SettlementMachine.TestCase
TestSettlement.settings = hypothesis_settings(max_examples=60, stateful_step_count=30, deadline=None)
