"""The broker without connections: what it routes, keeps and gives up, over restarts too."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic

from penstock.embedded.broker.arguments import queue_arguments
from penstock.embedded.broker.broker import Broker
from penstock.embedded.broker.death import dead_letter, deaths
from penstock.embedded.broker.exchange import Binding, Exchange
from penstock.embedded.broker.message import Held, Message
from penstock.embedded.broker.properties import Facts, decoded
from penstock.embedded.broker.queue import Queue
from penstock.embedded.broker.store import Store
from penstock.errors import JournalError
from penstock.journal import Journal
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from pamqp.common import FieldTable

PERSISTENT = Facts(persistent=True)
LIKE_WORK = {
    "x-queue-type": "quorum",
    "x-delivery-limit": 1,
    "x-dead-letter-exchange": "",
    "x-dead-letter-routing-key": "letters",
    "x-dead-letter-strategy": "at-least-once",
    "x-overflow": "reject-publish",
}


class Machine:
    """A broker on a journal, that can be started anew."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "journal.sqlite"
        self._journal = Journal(self._path)
        self.broker = Broker(Store(self._journal))

    def restart(self) -> Broker:
        """Commit, and start anew as after a kill."""
        self.broker.commit()
        self.close()
        self._journal = Journal(self._path)
        self.broker = Broker(Store(self._journal))
        return self.broker

    def close(self) -> None:
        self._journal.close()


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    made = Machine(tmp_path)
    yield made
    made.close()


def queue(broker: Broker, name: str, *, durable: bool = True, **options: Any) -> Queue:
    arguments = queue_arguments(name, options.pop("arguments", {}))
    broker.queues[name] = Queue(name, arguments, durable=durable, **options)
    broker.defined()
    return broker.queues[name]


def exchange(broker: Broker, name: str, *bindings: Binding) -> None:
    broker.exchanges[name] = Exchange(name, "topic")
    for binding in bindings:
        broker.exchanges[name].bind(binding)
    broker.defined()


def message(routing_key: str, exchange: str = "", body: bytes = b"x") -> Message:
    return Message(exchange, routing_key, Basic.Properties(delivery_mode=2).marshal(), body)


def take(broker: Broker, name: str) -> Held:
    held = broker.take(broker.queues[name], no_ack=False)
    assert held is not None
    return held


async def test_it_routes_through_exchanges_each_queue_once(machine: Machine) -> None:
    broker = machine.broker
    for name in ("one", "two"):
        queue(broker, name)
    exchange(broker, "second", Binding("queue", "two", "#", {}), Binding("exchange", "first", "#", {}))
    exchange(
        broker,
        "first",
        Binding("queue", "one", "a.*", {}),
        Binding("queue", "one", "#", {}),
        Binding("exchange", "second", "a.#", {}),
        Binding("exchange", "missing", "#", {}),
    )
    assert [found.name for found in broker.route(message("a.b", "first"))] == ["one", "two"]
    assert [found.name for found in broker.route(message("b", "first"))] == ["one"]
    assert [found.name for found in broker.route(message("two"))] == ["two"]
    assert broker.route(message("three")) == []
    assert broker.publish(message("three"), PERSISTENT) == (False, True)


async def test_a_restart_finds_what_is_durable(machine: Machine) -> None:
    broker = machine.broker
    queue(broker, "kept", arguments={"x-max-priority": 3})
    queue(broker, "passing", durable=False)
    queue(broker, "owned", owner=object())
    bindings = [Binding("queue", name, "#", {"n": 1}) for name in ("kept", "passing", "owned")]
    exchange(broker, "events", *bindings)
    broker.publish(message("k", "events", b"persistent"), Facts(persistent=True, priority=2))
    broker.publish(message("k", "events", b"not persistent"), Facts())
    assert [len(found) for found in broker.queues.values()] == [2, 2, 2]

    broker = machine.restart()
    assert list(broker.queues) == ["kept"]
    assert broker.queues["kept"].arguments.max_priority == 3
    [binding] = broker.exchanges["events"].bindings.values()
    assert (binding.destination, binding.arguments) == ("kept", {"n": 1})
    held = take(broker, "kept")
    assert (held.message.body, held.priority, held.redelivered) == (b"persistent", 2, False)
    assert broker.take(broker.queues["kept"], no_ack=False) is None

    broker = machine.restart()
    held = take(broker, "kept")
    assert held.redelivered
    broker.forget(held)
    broker.delete_queue(broker.queues["kept"])
    broker.delete_exchange(broker.exchanges["events"])
    broker = machine.restart()
    assert broker.queues == {}
    assert "events" not in broker.exchanges


async def test_what_comes_after_restarts_was_never_delivered_before(machine: Machine) -> None:
    broker = machine.broker
    queue(broker, "q")
    for body in (b"1", b"2", b"3", b"4", b"5"):
        broker.publish(message("q", body=body), PERSISTENT)
    for _ in range(5):
        broker.forget(take(broker, "q"))
    for _ in range(2):
        broker = machine.restart()
        assert len(broker.queues["q"]) == 0
    broker.publish(message("q", body=b"new"), PERSISTENT)
    broker = machine.restart()
    held = take(broker, "q")
    assert (held.message.body, held.redelivered) == (b"new", False)
    assert take(machine.restart(), "q").redelivered


async def test_a_queue_made_again_has_nothing_of_the_old_one(machine: Machine) -> None:
    broker = machine.broker
    old = queue(broker, "q")
    for body in (b"1", b"2"):
        broker.publish(message("q", body=body), PERSISTENT)
    held = take(broker, "q")
    broker.commit()
    broker.delete_queue(old)
    queue(broker, "q")
    broker.publish(message("q", body=b"new"), PERSISTENT)
    # What was delivered of the old one is settled too late.
    broker.forget(held)
    broker.give_back(old, held)
    broker = machine.restart()
    assert [take(broker, "q").message.body for _ in range(len(broker.queues["q"]))] == [b"new"]


async def test_returns_are_counted_over_restarts(machine: Machine) -> None:
    broker = machine.broker
    queue(broker, "letters")
    queue(broker, "work", arguments=LIKE_WORK)
    broker.publish(message("work"), PERSISTENT)
    broker.give_back(broker.queues["work"], take(broker, "work"))
    broker = machine.restart()
    held = take(broker, "work")
    assert held.returns == 1
    broker.give_back(broker.queues["work"], held)
    assert len(broker.queues["work"]) == 0
    headers = decoded(take(broker, "letters").message.properties).headers or {}
    assert headers["x-first-death-reason"] == "delivery_limit"


async def test_at_least_once_keeps_a_letter_until_somebody_takes_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("penstock.embedded.broker.broker.STUCK_INTERVAL", 0.01)
    broker = machine.broker
    work = queue(broker, "work", arguments=LIKE_WORK)
    broker.publish(message("work", body=b"letter"), PERSISTENT)
    broker.bury(work, take(broker, "work"), "rejected")
    assert len(work.stuck) == 1

    broker = machine.restart()
    work = broker.queues["work"]
    # Nobody has heard of it: it comes once more.
    broker.bury(work, take(broker, "work"), "rejected")
    letters = queue(broker, "letters", arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    await until(lambda: len(letters) == 1, "the letter")
    broker.publish(message("work", body=b"another"), PERSISTENT)
    broker.bury(work, take(broker, "work"), "rejected")
    assert len(work.stuck) == 1
    first = take(broker, "letters")
    assert first.message.body == b"letter"
    broker.forget(first)
    await until(lambda: len(letters) == 1, "the other letter")
    assert work.stuck == []
    broker = machine.restart()
    assert len(broker.queues["work"]) == 0
    assert take(broker, "letters").message.body == b"another"


async def test_what_a_client_says_of_its_deaths_is_not_believed(machine: Machine) -> None:
    """A letter that seems to go in circles would be dropped, though it was confirmed."""
    broker = machine.broker
    queue(broker, "work")
    back = {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work"}
    queue(broker, "retry", arguments={**LIKE_WORK, **back})
    headers: FieldTable = {"x-death": [{"queue": "work", "reason": "expired", "count": 3}], "x-delivery-count": 9}
    properties = Basic.Properties(delivery_mode=2, headers=headers)
    broker.publish(Message("", "retry", properties.marshal(), b"x"), PERSISTENT)
    broker = machine.restart()
    held = take(broker, "retry")
    assert decoded(held.message.properties).headers == headers
    broker.bury(broker.queues["retry"], held, "expired")
    broker = machine.restart()
    # What the broker wrote itself it does believe, over a restart too.
    letter = take(broker, "work")
    assert [(death["queue"], death["count"]) for death in deaths(letter.message)] == [("retry", 1)]
    again = dead_letter(letter.message, broker.queues["retry"], "expired", 0)
    assert [(death["queue"], death["count"]) for death in deaths(again)] == [("retry", 2)]


async def test_at_most_once_lets_it_go(machine: Machine) -> None:
    broker = machine.broker
    work = queue(broker, "work", arguments={"x-dead-letter-exchange": "nowhere"})
    broker.publish(message("work"), PERSISTENT)
    broker.bury(work, take(broker, "work"), "rejected")
    assert work.stuck == []
    assert len(machine.restart().queues["work"]) == 0


async def test_messages_expire_by_themselves(machine: Machine) -> None:
    broker = machine.broker
    letters = queue(broker, "letters")
    arguments = {"x-message-ttl": 30, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "letters"}
    queue(broker, "retry", arguments=arguments)
    broker.publish(message("retry"), PERSISTENT)
    broker = machine.restart()
    letters = broker.queues["letters"]
    await until(lambda: len(letters) == 1, "the letter")
    assert len(broker.queues["retry"]) == 0


class Outlet:
    """A connection that notes when it may speak."""

    flushed = 0

    def flush(self) -> None:
        self.flushed += 1


async def test_nobody_is_told_before_the_commit_and_never_after_a_failed_one(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    broker, outlet = machine.broker, Outlet()
    queue(broker, "q")
    committed: list[bool] = []
    commit = Journal.commit

    def note(journal: Journal) -> None:
        committed.append(bool(outlet.flushed))
        commit(journal)

    monkeypatch.setattr(Journal, "commit", note)
    broker.publish(message("q"), PERSISTENT)
    broker.speaks(outlet)
    await until(lambda: outlet.flushed == 1, "it is told")
    assert committed == [False]

    def fail(_: Journal) -> None:
        raise JournalError("full")

    monkeypatch.setattr(Journal, "commit", fail)
    broker.publish(message("q"), PERSISTENT)
    broker.speaks(outlet)
    with pytest.raises(JournalError, match="full"):
        await asyncio.wait_for(broker.failed, 20)
    broker.speaks(outlet)
    for _ in range(3):
        await asyncio.sleep(0)
    assert outlet.flushed == 1
