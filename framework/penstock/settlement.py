"""From outcome to settlement, and the one place where settlements are sent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

import structlog

from penstock.errors import LinkError
from penstock.outcome import Duplicate, Outcome, Poison, Spilled, Superseded, Transient, Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.delivery import Delivery
    from penstock.handover import Handover
    from penstock.link import Link
    from penstock.metrics import Metrics
    from penstock.outcome import Refusal
    from penstock.record import Record
    from penstock.suspects import Suspects

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ack:
    """Done with: the broker may forget it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Publish to the worker's DLQ with the refusal as context; ack once that is confirmed."""

    refusal: Refusal


@dataclass(frozen=True, slots=True)
class RetryLater:
    """Publish to the retry queue of a delay in milliseconds; ack once that is confirmed."""

    refusal: Refusal
    delay: int


Settlement = Ack | DeadLetter | RetryLater

ACK = Ack()


def settlement_for(outcome: Outcome) -> Settlement:
    """What an outcome asks for. Pure.

    What must go back to the queue (an outage beyond the hold limit, the end of the process) is not
    settled at all: it goes back in order when the channel is closed.
    """
    match outcome:
        case Written() | Duplicate() | Superseded() | Spilled():
            return ACK
        case Transient(delay=int() as delay):
            return RetryLater(outcome, delay)
        case Poison() | Transient():
            return DeadLetter(outcome)
        case _:
            assert_never(outcome)


@dataclass(slots=True, eq=False)
class Decided:
    """A delivery whose outcome is known. `record` is None where it could not be decoded.

    `at`: when its batch was taken in hand, in epoch seconds. What its sink was given later is newer than it.
    """

    delivery: Delivery
    outcome: Outcome
    record: Record | None
    at: float

    @property
    def key(self) -> str | None:
        """The record's key."""
        return None if self.record is None else self.record.key


class Settler:
    """Sends every settlement of a worker. `suspects` are its notes on deliveries that are not settled yet."""

    def __init__(self, link: Link, handover: Handover, suspects: Suspects, metrics: Metrics) -> None:
        self.suspects = suspects
        self._link = link
        self._handover = handover
        self._metrics = metrics

    async def settle(self, decided: Sequence[Decided]) -> list[Decided]:
        """Settle deliveries. Returns those whose letter or retry was not confirmed: hold them and try again.

        A delivery whose channel is gone is left to the broker, which delivers it again.
        """
        acks: list[Delivery] = []
        leaving: list[tuple[Decided, DeadLetter | RetryLater]] = []
        for one in decided:
            match settlement_for(one.outcome):
                case Ack():
                    acks.append(one.delivery)
                case DeadLetter() | RetryLater() as settlement:
                    if self._link.is_current(one.delivery):
                        leaving.append((one, settlement))
                    else:
                        self._metrics.stale.inc()
        confirmed = await asyncio.gather(*(self.hand_over(one, settlement) for one, settlement in leaving))
        for sent in confirmed:
            if sent is not None:
                self._metrics.settled("dead_letter" if isinstance(sent, DeadLetter) else "retry")
        done = [one.delivery for (one, _), there in zip(leaving, confirmed, strict=True) if there is not None]
        await self._link.acknowledge(done)
        self._metrics.settled("ack", await self._link.acknowledge(acks))
        return [one for (one, _), there in zip(leaving, confirmed, strict=True) if there is None]

    async def hand_over(self, one: Decided, settlement: DeadLetter | RetryLater) -> DeadLetter | RetryLater | None:
        """Publish a dead letter or a retry; which of them is confirmed. The delivery itself is not settled by that."""
        try:
            return await self._handover.publish(one, settlement)
        except LinkError as error:
            late = isinstance(settlement, RetryLater)
            event = "retry_not_confirmed" if late else "dead_letter_not_confirmed"
            log.warning(event, reason=settlement.refusal.reason, error=str(error))
            return None
