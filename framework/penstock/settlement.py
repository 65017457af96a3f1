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

    from penstock.deadletter import DeadLetters
    from penstock.delivery import Delivery
    from penstock.link import Link
    from penstock.metrics import Metrics
    from penstock.outcome import Refusal

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Ack:
    """Done with: the broker may forget it."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Publish to the worker's DLQ with the refusal as context; ack once that is confirmed."""

    refusal: Refusal


Settlement = Ack | DeadLetter

ACK = Ack()


def settlement_for(outcome: Outcome) -> Settlement:
    """What an outcome asks for. Pure.

    What must go back to the queue (an outage beyond the hold limit, the end of the process) is not
    settled at all: it goes back in order when the channel is closed.
    """
    match outcome:
        case Written() | Duplicate() | Superseded() | Spilled():
            return ACK
        case Poison() | Transient():
            return DeadLetter(outcome)
        case _:
            assert_never(outcome)


@dataclass(frozen=True, slots=True, eq=False)
class Decided:
    """A delivery whose outcome is known. `key` is the record's key, None where it could not be decoded."""

    delivery: Delivery
    outcome: Outcome
    key: str | None


class Settler:
    """Sends every settlement of a worker."""

    def __init__(self, link: Link, dead_letters: DeadLetters, metrics: Metrics) -> None:
        self._link = link
        self._dead_letters = dead_letters
        self._metrics = metrics

    async def settle(self, decided: Sequence[Decided]) -> list[Decided]:
        """Settle deliveries. Returns those whose dead letter was not confirmed: hold them and try again.

        A delivery whose channel is gone is left to the broker, which delivers it again.
        """
        acks: list[Delivery] = []
        letters: list[tuple[Decided, Refusal]] = []
        for one in decided:
            match settlement_for(one.outcome):
                case Ack():
                    acks.append(one.delivery)
                case DeadLetter(refusal):
                    if self._link.is_current(one.delivery):
                        letters.append((one, refusal))
                    else:
                        self._metrics.stale.inc()
        confirmed = await asyncio.gather(*(self.dead_letter(one, refusal) for one, refusal in letters))
        if letters:
            self._metrics.settled("dead_letter", sum(confirmed))
        unconfirmed = [one for (one, _), done in zip(letters, confirmed, strict=True) if not done]
        await self._link.acknowledge([one.delivery for (one, _), done in zip(letters, confirmed, strict=True) if done])
        self._metrics.settled("ack", await self._link.acknowledge(acks))
        return unconfirmed

    async def dead_letter(self, one: Decided, refusal: Refusal) -> bool:
        """Publish a dead letter; whether it is confirmed in the DLQ. The delivery itself is not settled by that."""
        try:
            await self._dead_letters.publish(one.delivery, refusal, one.key)
        except LinkError as error:
            log.warning("dead_letter_not_confirmed", reason=refusal.reason, error=str(error))
            return False
        self._metrics.dead_lettered(refusal.reason)
        log.warning(
            "dead_lettered",
            reason=refusal.reason,
            error_class=refusal.error_class,
            message_id=one.delivery.properties.message_id,
            key=one.key,
        )
        return True
