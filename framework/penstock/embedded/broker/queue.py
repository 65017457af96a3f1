"""A queue: which message is next, which has expired, which is one too many. It neither sends nor stores."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from typing import TYPE_CHECKING

from penstock.embedded.broker.message import Held

if TYPE_CHECKING:
    from penstock.embedded.broker.arguments import QueueArguments
    from penstock.embedded.broker.consumer import Consumer
    from penstock.embedded.broker.death import Reason
    from penstock.embedded.broker.message import Message


class Queue:
    """Messages by priority, then in the order in which they came; one that comes back takes its old place."""

    def __init__(
        self, name: str, arguments: QueueArguments, *, durable: bool, auto_delete: bool = False, owner: object = None
    ) -> None:
        self.name = name
        self.arguments = arguments
        self.durable = durable
        self.auto_delete = auto_delete
        #: The connection that alone may use it, and with which it goes; None for all others.
        self.owner = owner
        self.consumers: deque[Consumer] = deque()
        self.deleted = False
        #: Dead letters that nobody takes yet, with the reason of each: at-least-once keeps them.
        self.stuck: list[tuple[Held, Reason]] = []
        #: The highest position in the journal that was ever delivered.
        self.delivered_up_to = 0
        self._ready: list[tuple[int, int, Held]] = []
        self._ranks = itertools.count(1)

    def __len__(self) -> int:
        """How many messages are ready."""
        return len(self._ready)

    @property
    def journaled(self) -> bool:
        """Whether it is there again after a restart."""
        return self.durable and self.owner is None

    @property
    def accepts(self) -> bool:
        """Whether it takes one more message."""
        limit = self.arguments.max_length
        return not self.arguments.reject_publish or limit is None or len(self._ready) < limit

    def keeps(self, *, persistent: bool) -> bool:
        """Whether a message is to survive a restart; in a quorum queue every one is."""
        return self.journaled and (persistent or self.arguments.quorum)

    def add(self, message: Message, now: float, priority: int = 0, ttl: int | None = None) -> Held:
        """Put a message at the end. `now` is in epoch seconds, its own time to live in milliseconds."""
        lives = [one for one in (ttl, self.arguments.message_ttl) if one is not None]
        expires_at = now + min(lives) / 1000 if lives else None
        held = Held(message, next(self._ranks), min(priority, self.arguments.max_priority), expires_at)
        self.put_back(held)
        return held

    def restore(self, held: Held) -> None:
        """Put a message of the journal in its place. Those of higher positions have to come later."""
        held.rank = next(self._ranks)
        held.redelivered = held.position is not None and held.position <= self.delivered_up_to
        self.put_back(held)

    def put_back(self, held: Held) -> None:
        """Put a message in the place it had."""
        heapq.heappush(self._ready, (-held.priority, held.rank, held))

    def take(self) -> Held:
        """The next message, which is then no longer ready. Raises IndexError when there is none."""
        return heapq.heappop(self._ready)[2]

    def takes_back(self, held: Held) -> bool:
        """Count one more return of a message; whether it may go back. A quorum queue has a limit."""
        held.redelivered = True
        if self.arguments.quorum:
            held.returns += 1
        limit = self.arguments.delivery_limit
        return limit is None or held.returns <= limit

    def excess(self) -> list[Held]:
        """Take out the oldest that are too many."""
        limit = self.arguments.max_length
        return [] if limit is None else [self.take() for _ in range(len(self._ready) - limit)]

    def expired(self, now: float) -> list[Held]:
        """Take out those at the head whose time is up; one behind a longer lived waits for it, as in RabbitMQ."""
        found = []
        while (expires_at := self.next_expiry) is not None and expires_at <= now:
            found.append(self.take())
        return found

    @property
    def next_expiry(self) -> float | None:
        """When the message at the head expires, in epoch seconds."""
        return self._ready[0][2].expires_at if self._ready else None

    def purge(self) -> list[Held]:
        """Take out all that are ready."""
        found = [held for _, _, held in self._ready]
        self._ready.clear()
        return found

    def next_consumer(self) -> Consumer | None:
        """The consumer whose turn it is among those that can take a delivery."""
        for _ in range(len(self.consumers)):
            consumer = self.consumers[0]
            self.consumers.rotate(-1)
            if consumer.ready:
                return consumer
        return None
