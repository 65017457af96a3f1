"""The broker behind its connections: routes, queues, delivers, makes dead letters, and commits turn by turn.

All that is done in one turn of the event loop is committed together; only then is anything said of it: no confirm,
no answer and no delivery leaves before what it rests on is on the disk. Every message is in memory as well.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from penstock.embedded.broker.death import dead_letter, goes_in_circles
from penstock.embedded.broker.exchange import PREDECLARED, Exchange
from penstock.embedded.broker.properties import decoded, facts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from penstock.embedded.broker.consumer import Consumer
    from penstock.embedded.broker.death import Reason
    from penstock.embedded.broker.message import Held, Message
    from penstock.embedded.broker.properties import Facts
    from penstock.embedded.broker.queue import Queue
    from penstock.embedded.broker.store import Store

#: Seconds between two tries to place dead letters that nobody takes.
STUCK_INTERVAL = 1.0


class Outlet(Protocol):
    """A connection, as the broker sees it."""

    def flush(self) -> None:
        """Send what was said in this turn."""


class Broker:
    """Everything there is but the connections. Single-threaded: all calls come from the event loop."""

    def __init__(self, store: Store, now: Callable[[], float] = time.time) -> None:
        queues, exchanges = store.load()
        self.store = store
        self.queues = {queue.name: queue for queue in queues}
        self.exchanges = {name: Exchange(name, kind) for name, kind in PREDECLARED.items()}
        self.exchanges |= {exchange.name: exchange for exchange in exchanges}
        #: Done with the error once it cannot go on, a commit having failed.
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        #: Whether connections are closed by the broker: what they hold goes back at the next start.
        self.stopping = False
        self._now = now
        self._busy: set[Queue] = set()
        #: Queues whose stuck dead letters are to be tried again.
        self._due: set[Queue] = set()
        self._outlets: set[Outlet] = set()
        self._defined = False
        self._turning = False
        self._timers: dict[Queue, asyncio.TimerHandle] = {}
        for queue in queues:
            self.kick(queue)

    # What connections ask for.

    def publish(self, message: Message, facts: Facts) -> tuple[bool, bool]:
        """Put a message into all queues it is routed to; whether there is any, and whether each of them took it."""
        queues = self.route(message)
        return bool(queues), self._place(message, facts, queues)

    def take(self, queue: Queue, *, no_ack: bool) -> Held | None:
        """Take the next message out of a queue for a client; None where there is none."""
        self._expire(queue)
        if not queue:
            return None
        held = queue.take()
        self.kick(queue)
        if no_ack:
            self.forget(held)
        else:
            self.store.delivered(queue, held)
        return held

    def forget(self, held: Held) -> None:
        """A message was acknowledged, or need not be."""
        self.store.remove(held)
        self._wake()

    def give_back(self, queue: Queue, held: Held) -> None:
        """A message comes back to the place it had, or is given up after too many returns."""
        if queue.deleted:
            return
        if queue.takes_back(held):
            self.store.returned(queue, held)
            queue.put_back(held)
            self.kick(queue)
        else:
            self.bury(queue, held, "delivery_limit")

    def bury(self, queue: Queue, held: Held, reason: Reason) -> None:
        """Make a message a dead letter, or forget it where the queue has no dead-letter exchange."""
        wanted = not queue.deleted and queue.arguments.dead_letter_exchange is not None
        if wanted and not self._dead_letter(queue, held, reason):
            self.store.returned(queue, held)
            queue.stuck.append((held, reason))
            self.kick(queue)
        else:
            self.forget(held)

    def purge(self, queue: Queue) -> int:
        """Remove all that is ready; how many."""
        purged = queue.purge()
        for held in purged:
            self.forget(held)
        return len(purged)

    def defined(self) -> None:
        """A durable queue, exchange or binding was made or removed."""
        self._defined = True
        self._wake()

    def delete_queue(self, queue: Queue) -> None:
        """Remove a queue, its messages and bindings; its consumers are told."""
        del self.queues[queue.name]
        queue.deleted = True
        for exchange in self.exchanges.values():
            exchange.unbind_all("queue", queue.name)
        for consumer in queue.consumers:
            consumer.receiver.cancelled_by_broker(consumer)
        queue.consumers.clear()
        if (timer := self._timers.pop(queue, None)) is not None:
            timer.cancel()
        self.store.drop(queue)
        self.defined()

    def delete_exchange(self, exchange: Exchange) -> None:
        """Remove an exchange and all bindings from and to it."""
        del self.exchanges[exchange.name]
        for other in self.exchanges.values():
            other.unbind_all("exchange", exchange.name)
        self.defined()

    def remove_consumer(self, consumer: Consumer) -> None:
        """Take a consumer off its queue; an auto-delete queue goes with its last one."""
        queue = consumer.queue
        if queue.deleted:
            return
        queue.consumers.remove(consumer)
        if queue.auto_delete and not queue.consumers:
            self.delete_queue(queue)

    # Routing.

    def route(self, message: Message) -> list[Queue]:
        """The queues that a message goes to, each once."""
        if not message.exchange:
            queue = self.queues.get(message.routing_key)
            return [queue] if queue is not None else []
        names: dict[str, None] = {}
        asked = [message.exchange]
        for name in asked:
            exchange = self.exchanges.get(name)
            for binding in exchange.matching(message) if exchange is not None else ():
                if binding.kind == "queue":
                    names[binding.destination] = None
                elif binding.destination not in asked:
                    asked.append(binding.destination)
        return [self.queues[name] for name in names]

    def _place(self, message: Message, facts: Facts, queues: Iterable[Queue]) -> bool:
        accepted = True
        for queue in queues:
            if not queue.accepts:
                accepted = False
                continue
            held = queue.add(message, self._now(), facts.priority, facts.ttl)
            if queue.keeps(persistent=facts.persistent):
                self.store.add(queue, held)
            self.kick(queue)
        return accepted

    def _dead_letter(self, queue: Queue, held: Held, reason: Reason) -> bool:
        """Whether the dead letter is where it belongs, as far as the queue's strategy asks for that."""
        letter = dead_letter(held.message, queue, reason, self._now())
        routed = self.route(letter)
        if queue.arguments.at_least_once and not (routed and all(target.accepts for target in routed)):
            return False
        targets = [target for target in routed if not goes_in_circles(letter, target)]
        self._place(letter, facts_of(decoded(letter.properties)), targets)
        return True

    # Turns.

    def kick(self, queue: Queue) -> None:
        """See in this turn whether anything of a queue can be delivered, or expires."""
        self._busy.add(queue)
        self._wake()

    def speaks(self, outlet: Outlet) -> None:
        """A connection has something to send at the end of this turn."""
        self._outlets.add(outlet)
        self._wake()

    def _wake(self) -> None:
        if not self._turning:
            self._turning = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        try:
            while self._busy:
                self._pump(self._busy.pop())
            self.commit()
        except Exception as error:  # noqa: BLE001 - whatever it was, nobody may be told of what may not be on the disk
            # `_turning` stays: there is no next turn.
            self.failed.set_exception(error)
            return
        self._turning = False
        outlets, self._outlets = self._outlets, set()
        for outlet in outlets:
            outlet.flush()

    def commit(self) -> None:
        """Return when all that was done is on the disk. Raises JournalError."""
        if self._defined:
            self._defined = False
            self.store.save_definitions(self.queues.values(), self.exchanges.values())
        self.store.commit()

    def _pump(self, queue: Queue) -> None:
        """Deliver what can be delivered, and bury what is too old or too much."""
        if queue.deleted:
            return
        if queue in self._due:
            self._due.discard(queue)
            stuck, queue.stuck = queue.stuck, []
            for held, reason in stuck:
                self.bury(queue, held, reason)
        self._expire(queue)
        while queue and (consumer := queue.next_consumer()) is not None:
            held = queue.take()
            if consumer.no_ack:
                self.store.remove(held)
            else:
                self.store.delivered(queue, held)
            consumer.receiver.deliver(consumer, held)
            self._expire(queue)
        for held in queue.excess():
            self.bury(queue, held, "maxlen")
        self._set_timer(queue)

    def _expire(self, queue: Queue) -> None:
        if queue.next_expiry is not None:
            for held in queue.expired(self._now()):
                self.bury(queue, held, "expired")

    def _set_timer(self, queue: Queue) -> None:
        """Come back when the head of a queue expires, or to try its stuck dead letters again."""
        if (timer := self._timers.pop(queue, None)) is not None:
            timer.cancel()
        waits = [STUCK_INTERVAL] if queue.stuck else []
        if queue.next_expiry is not None:
            waits.append(max(0.0, queue.next_expiry - self._now()))
        if waits:
            loop = asyncio.get_running_loop()
            self._timers[queue] = loop.call_later(min(waits), self._timed, queue)

    def _timed(self, queue: Queue) -> None:
        self._due.add(queue)
        self.kick(queue)
