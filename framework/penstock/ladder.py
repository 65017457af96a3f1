"""The ladder of delays: how long a record waits in a retry queue before its next turn, attempt by attempt."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from penstock.deadletter.letter import ATTEMPTS_HEADER, count
from penstock.worker import may_be_late

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from penstock.record import Record
    from penstock.settings import RetrySettings
    from penstock.worker import Worker


class Ladder:
    """The delays of one worker, in milliseconds, each with a queue of its own.

    Its rungs stay as they were at the start, since so do the queues; `max_attempts` may be set anew.
    """

    def __init__(self, worker: Worker, settings: RetrySettings) -> None:
        self.rungs = rungs(settings)
        self.max_attempts = settings.max_attempts
        self._append = worker.mode == "append"

    def takes(self, record: Record) -> bool:
        """Whether a record may be written later than newer ones, so that it need not be waited for in place."""
        return self._append or record.version is not None

    def delay(self, record: Record) -> int | None:
        """How long a record is to wait whose turn has failed; None where it has no more turns, or may not be late."""
        if not self.takes(record):
            return None
        attempts = attempts_of(record.delivery.headers) + 1
        return None if attempts >= self.max_attempts else self.rungs[min(attempts, len(self.rungs)) - 1]


def ladder_of(worker: Worker, settings: RetrySettings) -> Ladder | None:
    """The ladder of a worker; None where no record of it may be late, so that all of them are waited for in place."""
    return Ladder(worker, settings) if may_be_late(worker) else None


def rungs(settings: RetrySettings) -> tuple[int, ...]:
    """The delays of the ladder in milliseconds, the shortest first: `later_min`, times `later_factor`, `later_max`."""
    steps = (settings.later_min * settings.later_factor**step for step in itertools.count())
    below = itertools.takewhile(lambda seconds: seconds < settings.later_max, steps)
    return tuple(dict.fromkeys(round(seconds * 1000) for seconds in (*below, settings.later_max)))


def retry_queue(queue: str, delay: int) -> str:
    """The name of the retry queue for a delay in milliseconds, as orders.retry.5s or orders.retry.500ms."""
    return f"{queue}.retry.{delay // 1000}s" if delay % 1000 == 0 else f"{queue}.retry.{delay}ms"


def attempts_of(headers: Mapping[str, Any]) -> int:
    """How many turns a message has had that failed, as far as its header tells."""
    return count(headers.get(ATTEMPTS_HEADER))
