"""Letters taken out of a DLQ: those that are meant, each in one place, the rest as they were."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from penstock.broker import close
from penstock.deadletter import browse, transfer
from penstock.deadletter.browse import browsing
from penstock.deadletter.filter import Filter
from penstock.deadletter.moving import move, purge
from penstock.deadletter.replaying import replay
from penstock.deadletter.transfer import Manner
from penstock.errors import LinkError, PublishRefused, UsageError
from penstock.generation import Generation
from penstock.settings import RabbitMQ, Settings
from support import broker, replays
from support.clock import ManualClock
from support.notes import GatedSink, declare, notes_worker, running
from support.wait import INTERVAL

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aiormq.channel import Channel

    from penstock.receive import Receiver

DLQ = "notes.dlq"
GOOD = Filter(reason="passing")


def settings(url: str, **sections: Any) -> Settings:
    return Settings(rabbitmq=RabbitMQ(url=SecretStr(url)), **sections)


async def fill(url: str, reasons: Sequence[str], **more: Any) -> None:
    """A letter of each reason, in order."""
    await declare(url)
    letters = [
        (b'{"id": %d}' % number, {"x-mine": number, **replays.headers(f"key-{number}", error_reason=reason, **more)})
        for number, reason in enumerate(reasons)
    ]
    await replays.put(url, DLQ, letters, correlation_id="c-1", content_type="application/json")


async def expired(url: str) -> None:
    """A letter that the broker has made, of a message that had its time in the work queue of the worker."""
    await declare(url)
    dying = {"x-message-ttl": 1, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": DLQ}
    await broker.declare_queue(url, "dying", "shop", dying)
    await broker.publish(url, "shop", [("order", {"id": 1})], **{"x-mine": 1})
    async with asyncio.timeout(20):
        while not await broker.depth(url, DLQ):  # noqa: ASYNC110 a queue tells nobody
            await asyncio.sleep(INTERVAL)


def worker() -> Any:
    return notes_worker(GatedSink())


async def test_those_that_are_meant_are_in_the_queue_and_the_rest_is_as_before(broker_url: str) -> None:
    await fill(broker_url, ["passing", "invalid", "passing", "invalid", "invalid", "passing"])
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    tally = await replay(worker(), settings(broker_url), GOOD)
    assert (tally.looked_at, tally.matched, tally.done, dict(tally.left)) == (6, 3, 3, {})
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == [
        before[1],
        before[3],
        before[4],
    ]
    sent = await broker.take_all(broker_url, "notes")
    assert [message.body for message in sent] == [b'{"id": 0}', b'{"id": 2}', b'{"id": 5}']
    # 3.10 adds a count of its own, which is what a quorum queue gives any message.
    assert {name: value for name, value in sent[1].headers.items() if name != "x-delivery-count"} == {
        "x-mine": 2,
        "penstock-key": "key-2",
        "penstock-original-exchange": "shop",
        "penstock-original-routing-key": "order",
        "penstock-replays": 1,
    }
    assert (sent[1].correlation_id, sent[1].message_id, sent[1].content_type) == ("c-1", "m-2", "application/json")


async def test_a_letter_that_the_broker_made_is_replayed_as_it_was_published(rabbitmq_url: str) -> None:
    await expired(rabbitmq_url)
    assert (await replay(worker(), settings(rabbitmq_url), Filter(reason="expired"))).done == 1
    [sent] = await broker.take_all(rabbitmq_url, "notes")
    assert {name: value for name, value in sent.headers.items() if name != "x-delivery-count"} == {
        "x-mine": 1,
        "penstock-original-exchange": "shop",
        "penstock-original-routing-key": "order",
        "penstock-replays": 1,
    }


async def test_a_letter_that_the_broker_made_says_so_after_it_was_moved(rabbitmq_url: str) -> None:
    await expired(rabbitmq_url)
    await replays.put(rabbitmq_url, "parking.dlq", [])
    async with browsing(settings(rabbitmq_url).rabbitmq, DLQ) as letters:
        [before] = [held.letter async for held in letters]
    assert (await move(settings(rabbitmq_url), DLQ, "parking.dlq")).done == 1
    async with browsing(settings(rabbitmq_url).rabbitmq, "parking.dlq") as letters:
        [after] = [held.letter async for held in letters]
    same = ("worker", "reason", "failed_at", "exchange", "routing_key", "body", "replays", "key")
    assert [getattr(after, name) for name in same] == [getattr(before, name) for name in same]
    assert "dying" in after.error_message


async def test_in_many_sittings_it_is_as_in_one(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The letters go back and are taken anew now and then: here, after each."""
    monkeypatch.setattr(transfer, "SITTING", 0.0)
    reasons = ["passing", "invalid", "invalid", "passing", "invalid", "passing", "passing"]
    await fill(broker_url, reasons)
    tally = await replay(worker(), settings(broker_url), GOOD)
    assert (tally.looked_at, tally.matched, tally.done) == (7, 4, 4)
    assert [letter.body for letter in await replays.look(broker_url, DLQ)] == [b'{"id": %d}' % n for n in (1, 2, 4)]
    assert await broker.depth(broker_url, "notes") == 4


async def test_the_limit_takes_the_oldest(broker_url: str) -> None:
    await fill(broker_url, ["passing", "invalid", "passing", "passing"])
    tally = await replay(worker(), settings(broker_url), GOOD, Manner(limit=2))
    assert tally.done == 2
    assert [letter.body for letter in await replays.look(broker_url, DLQ)] == [b'{"id": 1}', b'{"id": 3}']


async def test_the_rate_is_kept(broker_url: str) -> None:
    await fill(broker_url, ["passing"] * 5)
    clock = ManualClock()
    await replay(worker(), settings(broker_url), GOOD, Manner(rate=4, clock=clock))
    assert clock.slept == [0, 0.25, 0.25, 0.25, 0.25]
    assert await broker.depth(broker_url, "notes") == 5


async def test_a_dry_run_says_what_would_be_and_changes_nothing(broker_url: str) -> None:
    await fill(broker_url, ["passing", "invalid", "passing"])
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    tally = await replay(worker(), settings(broker_url), GOOD, Manner(dry_run=True))
    assert (tally.looked_at, tally.matched, tally.done) == (3, 2, 2)
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == before
    assert await broker.depth(broker_url, "notes") == 0


async def test_a_letter_stays_where_its_new_place_does_not_confirm(broker_url: str) -> None:
    await fill(broker_url, ["passing"] * 3)
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    with pytest.raises(PublishRefused, match="nowhere"):
        await replay(worker(), settings(broker_url), to="nowhere")
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == before


async def test_a_letter_that_is_held_no_more_is_not_sent(broker_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The channel is lost while the third waits for its turn: sent now it would be in both places after each try."""
    await fill(broker_url, ["passing"] * 4)
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    opened: list[Generation] = []

    def generation(number: int, channel: Channel, opened_at: float, receiver: Receiver | None) -> Generation:
        opened.append(Generation(number, channel, opened_at, receiver))
        return opened[-1]

    class Losing(ManualClock):
        async def sleep(self, seconds: float) -> None:
            await super().sleep(seconds)
            if len(self.slept) == 3:
                await close(opened[-1].channel)
                await opened[-1].ended.wait()

    monkeypatch.setattr(browse, "Generation", generation)
    with pytest.raises(LinkError, match="cannot be removed: the channel was"):
        await replay(worker(), settings(broker_url), GOOD, Manner(rate=1, clock=Losing()))
    assert await broker.depth(broker_url, "notes") == 2
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == before[2:]


async def test_a_letter_that_came_back_too_often_is_left_alone_unless_forced(broker_url: str) -> None:
    """The real thing: the worker refuses it each time, and the count travels with it."""
    async with running(broker_url) as process:
        await broker.publish(broker_url, "notes", [("any", b"not JSON")])
        await process.settled(1)
        for turn in (1, 2, 3):
            tally = await replay(process.process.worker, settings(broker_url))
            assert tally.done == 1
            await process.settled(1 + turn)
        [letter] = await replays.look(broker_url, DLQ)
        assert letter.headers["penstock-replays"] == 3
        assert letter.headers["penstock-attempts"] == 1
        assert letter.headers["penstock-original-exchange"] == "notes"
        assert letter.headers["penstock-original-routing-key"] == "any"
        tally = await replay(process.process.worker, settings(broker_url))
        assert (tally.done, dict(tally.left)) == (0, {"replayed_often": 1})
        tally = await replay(process.process.worker, settings(broker_url), force=True)
        assert (tally.done, dict(tally.left)) == (1, {})
        await process.settled(5)
        [again] = await replays.look(broker_url, DLQ)
        assert again.headers["penstock-replays"] == 4


async def test_letters_are_moved_as_they_are(broker_url: str) -> None:
    await fill(broker_url, ["passing", "invalid", "passing"])
    await replays.put(broker_url, "parking", [])
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    tally = await move(settings(broker_url), DLQ, "parking", GOOD)
    assert tally.done == 2
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == [before[1]]
    assert [replays.content(letter) for letter in await replays.look(broker_url, "parking")] == [before[0], before[2]]


async def test_letters_are_purged_for_good(broker_url: str) -> None:
    await fill(broker_url, ["passing", "invalid", "passing"])
    before = [replays.content(letter) for letter in await replays.look(broker_url, DLQ)]
    assert (await purge(settings(broker_url), DLQ, GOOD)).done == 2
    assert [replays.content(letter) for letter in await replays.look(broker_url, DLQ)] == [before[1]]
    assert (await purge(settings(broker_url), DLQ)).done == 1
    assert await broker.depth(broker_url, DLQ) == 0


async def test_letters_are_not_sent_to_where_they_are(broker_url: str) -> None:
    with pytest.raises(UsageError, match="already"):
        await replay(worker(), settings(broker_url), to=DLQ)
    with pytest.raises(UsageError, match="already"):
        await move(settings(broker_url), DLQ, DLQ)
