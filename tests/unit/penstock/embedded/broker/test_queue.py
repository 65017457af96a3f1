"""Order, limits and times of a queue."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.embedded.broker.arguments import queue_arguments
from penstock.embedded.broker.consumer import Consumer
from penstock.embedded.broker.message import Held, Message
from penstock.embedded.broker.queue import Queue

NOW = 1_000_000.0


def queue_of(**arguments: Any) -> Queue:
    table = {f"x-{name.replace('_', '-')}": value for name, value in arguments.items()}
    return Queue("q", queue_arguments("q", table), durable=True)


def fill(queue: Queue, *bodies: bytes, priority: int = 0, ttl: int | None = None) -> None:
    for body in bodies:
        queue.add(Message("", "q", b"\0\0", body), NOW, priority, ttl)


def bodies(found: list[Held]) -> list[bytes]:
    return [held.message.body for held in found]


def all_of(queue: Queue) -> list[bytes]:
    return bodies([queue.take() for _ in range(len(queue))])


@given(st.lists(st.sampled_from(["add", "take", "back"]), max_size=60), st.randoms(use_true_random=False))
def test_what_comes_back_takes_its_old_place(steps: list[str], chance: Any) -> None:
    queue = queue_of()
    taken: list[Held] = []
    inside: list[int] = []
    for number, step in enumerate(steps):
        if step == "add":
            fill(queue, b"%d" % number)
            inside.append(number)
        elif step == "take" and len(queue):
            taken.append(queue.take())
            assert taken[-1].message.body == b"%d" % min(inside)
            inside.remove(min(inside))
        elif step == "back" and taken:
            held = taken.pop(chance.randrange(len(taken)))
            assert queue.takes_back(held)
            queue.put_back(held)
            inside.append(int(held.message.body))
            assert held.redelivered
    assert all_of(queue) == [b"%d" % number for number in sorted(inside)]


def test_the_urgent_come_first_up_to_the_highest_priority() -> None:
    queue = queue_of(max_priority=2)
    for body, priority in ((b"0", 0), (b"9", 9), (b"1", 1), (b"2", 2)):
        fill(queue, body, priority=priority)
    assert all_of(queue) == [b"9", b"2", b"1", b"0"]
    plain = queue_of()
    fill(plain, b"first", priority=0)
    fill(plain, b"second", priority=9)
    assert all_of(plain) == [b"first", b"second"]


def test_the_oldest_are_too_many() -> None:
    queue = queue_of(max_length=2)
    fill(queue, b"1", b"2", b"3", b"4")
    assert queue.accepts
    assert bodies(queue.excess()) == [b"1", b"2"]
    assert queue.excess() == []
    assert all_of(queue) == [b"3", b"4"]


def test_a_full_queue_that_refuses() -> None:
    queue = queue_of(max_length=1, overflow="reject-publish")
    assert queue.accepts
    fill(queue, b"1")
    assert not queue.accepts
    queue.take()
    assert queue.accepts


def test_messages_expire_at_the_head() -> None:
    queue = queue_of(message_ttl=1000)
    fill(queue, b"queue's")
    fill(queue, b"own", ttl=200)
    fill(queue, b"longer than the queue's", ttl=5000)
    # The one that lives shortest stands behind one that lives longer.
    assert queue.next_expiry == NOW + 1
    assert queue.expired(NOW + 0.9) == []
    assert bodies(queue.expired(NOW + 1)) == [b"queue's", b"own", b"longer than the queue's"]
    assert queue.next_expiry is None
    eternal = queue_of()
    fill(eternal, b"x")
    assert (eternal.next_expiry, eternal.expired(NOW * 2)) == (None, [])


@pytest.mark.parametrize(("limit", "returns"), [(0, 0), (3, 3), (None, 20)])
def test_a_quorum_queue_takes_back_so_often(limit: int | None, returns: int) -> None:
    queue = queue_of(queue_type="quorum", **({} if limit is None else {"delivery_limit": limit}))
    fill(queue, b"x")
    held = queue.take()
    taken = [queue.takes_back(held) for _ in range(returns + 1)]
    assert taken == [True] * returns + [False]


def test_some_queues_take_back_for_ever() -> None:
    for queue in (queue_of(), queue_of(queue_type="quorum", delivery_limit=-1)):
        fill(queue, b"x")
        held = queue.take()
        assert all(queue.takes_back(held) for _ in range(1000))
        assert held.returns == (1000 if queue.arguments.quorum else 0)


def test_which_messages_are_journaled() -> None:
    classic, quorum = queue_of(), queue_of(queue_type="quorum")
    passing = Queue("q", classic.arguments, durable=False)
    exclusive = Queue("q", classic.arguments, durable=True, owner=object())
    kept = [queue.keeps(persistent=True) for queue in (classic, quorum, passing, exclusive)]
    assert kept == [True, True, False, False]
    assert [queue.keeps(persistent=False) for queue in (classic, quorum, passing)] == [False, True, False]


def test_purge_takes_only_what_is_ready() -> None:
    queue = queue_of()
    fill(queue, b"1", b"2", b"3")
    held = queue.take()
    assert sorted(bodies(queue.purge())) == [b"2", b"3"]
    queue.put_back(held)
    assert all_of(queue) == [b"1"]


class Receiver:
    """A channel that takes deliveries while it is told to."""

    writable = True

    def deliver(self, consumer: Consumer, held: Held) -> None:
        raise NotImplementedError

    def cancelled_by_broker(self, consumer: Consumer) -> None:
        raise NotImplementedError


def test_consumers_take_turns_and_the_full_and_slow_are_left_out() -> None:
    queue = queue_of()
    slow = Receiver()
    one, two, three = (
        Consumer(tag, queue, receiver) for tag, receiver in zip("123", (Receiver(), Receiver(), slow), strict=True)
    )
    assert queue.next_consumer() is None
    queue.consumers.extend([one, two, three])
    assert [queue.next_consumer() for _ in range(4)] == [one, two, three, one]
    slow.writable = False
    two.prefetch, two.unsettled = 5, 5
    assert [queue.next_consumer() for _ in range(2)] == [one, one]
    two.unsettled = 4
    assert two in [queue.next_consumer() for _ in range(2)]
    one.prefetch = one.unsettled = two.prefetch = two.unsettled = 1
    assert queue.next_consumer() is None
