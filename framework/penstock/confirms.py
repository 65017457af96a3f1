"""What the broker has yet to say of the publishes of one channel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.delivery import Delivery


class Answer(Enum):
    """What the broker says of a publish: a queue holds it; a queue refused it; no queue is bound, so it came back.

    LATE: nothing, within its time.
    """

    CONFIRMED = "confirmed"
    REFUSED = "refused"
    RETURNED = "returned"
    LATE = "late"


@dataclass(slots=True, eq=False)
class _Sent:
    """A publish without an answer; `deadline` is of the loop's clock, in seconds."""

    answer: asyncio.Future[Answer]
    message_id: str
    deadline: float


class Confirms:
    """By delivery tag, which counts the publishes of a channel: 1, 2, 3 …

    A message that comes back, which is before its confirm, is known by its id alone. So there is one of each id at a
    time, but where one was given up by its sender: the next of that id takes a return that may be the other's. It is
    then sent once more than was needed; no confirm is ever taken for another's.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._last = 0
        #: By tag, which is their order.
        self._sent: dict[int, _Sent] = {}
        #: By message id.
        self._tags: dict[str, int] = {}
        self._timer: asyncio.TimerHandle | None = None

    def add(self, message_id: str, deadline: float) -> asyncio.Future[Answer]:
        """Count a publish that goes out now. The future is LATE at the deadline, and raises what `lose` was told.

        Deadlines come in order: one clock watches the first of them.
        """
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._last += 1
        self._sent[self._last] = _Sent(answer, message_id, deadline)
        self._tags[message_id] = self._last
        if self._timer is None:
            self._timer = self._loop.call_at(deadline, self._expire)
        return answer

    def settle(self, tag: int, *, multiple: bool, taken: bool) -> None:
        """The broker has confirmed a publish (`taken`) or refused it; with `multiple` all before it as well."""
        for one in list(takewhile(tag.__ge__, self._sent)) if multiple else (tag,):
            sent = self._forget(one)
            # It may have been given up by its sender, be out of time, or have come back before.
            if sent is not None and not sent.answer.done():
                sent.answer.set_result(Answer.CONFIRMED if taken else Answer.REFUSED)

    def returned(self, messages: Sequence[Delivery]) -> None:
        """The broker sends messages back that no queue took."""
        for message in messages:
            sent = self._sent.get(self._tags.get(message.properties.message_id or "", 0))
            if sent is None:
                # Its confirm would pass for that of a queue: better nobody has one.
                self.lose(ConnectionError("a message came back that cannot be told from the others"))
            elif not sent.answer.done():
                sent.answer.set_result(Answer.RETURNED)

    def expire(self) -> None:
        """All that is under way has had its time."""
        for sent in self._sent.values():
            if not sent.answer.done():
                sent.answer.set_result(Answer.LATE)

    def lose(self, error: Exception) -> None:
        """The channel is no more, and no answer comes."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for tag in list(self._sent):
            sent = self._forget(tag)
            if sent is not None and not sent.answer.done():
                sent.answer.set_exception(error)

    def _forget(self, tag: int) -> _Sent | None:
        sent = self._sent.pop(tag, None)
        if sent is not None and self._tags.get(sent.message_id) == tag:
            del self._tags[sent.message_id]
        return sent

    def _expire(self) -> None:
        """End what has had its time, and come back for the first of the others."""
        self._timer = None
        now = self._loop.time()
        for sent in self._sent.values():
            if sent.answer.done():
                continue
            if sent.deadline > now:
                self._timer = self._loop.call_at(sent.deadline, self._expire)
                return
            sent.answer.set_result(Answer.LATE)
