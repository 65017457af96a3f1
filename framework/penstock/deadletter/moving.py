"""Letters from one queue to another as they are, and letters that are removed for good."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.deadletter.audit import carried_out
from penstock.deadletter.letter import (
    CLASS_HEADER,
    FAILED_AT_HEADER,
    MESSAGE_HEADER,
    REASON_HEADER,
    WORKER_HEADER,
    broker_independent,
)
from penstock.deadletter.replaying import ALL, AT_ONCE, refuse_same, sent
from penstock.deadletter.transfer import Gone, Transfer
from penstock.delivery import ORIGIN_HEADERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.deadletter.filter import Filter
    from penstock.deadletter.transfer import Fate, Manner, Tally
    from penstock.deadletter.view import Letter
    from penstock.settings import Settings


async def move(
    settings: Settings,
    queue: str,
    to: str,
    wanted: Filter = ALL,
    manner: Manner = AT_ONCE,
    *,
    tally: Tally | None = None,
) -> Tally:
    """Publish letters of a DLQ to the queue `to`, as letters; returns what became of them.

    One whose headers fit in no frame is left (unsendable). Counts in `tally` as it goes. Raises LinkError, after
    which every letter is in its old or its new place, UsageError, TopologyError.
    """
    refuse_same(queue, to)

    async def decide(letters: Sequence[Letter]) -> Sequence[Fate]:
        return [sent(letter, to, kept_headers(letter), letter.body) for letter in letters]

    transfer = Transfer(settings, queue, wanted, decide, manner)
    return await carried_out(transfer, "dead_letters_moved", tally, to=to)


async def purge(
    settings: Settings,
    queue: str,
    wanted: Filter = ALL,
    manner: Manner = AT_ONCE,
    *,
    tally: Tally | None = None,
) -> Tally:
    """Remove letters from a DLQ for good; returns how many. Counts in `tally`. Raises LinkError, TopologyError."""
    return await carried_out(Transfer(settings, queue, wanted, _gone, manner), "dead_letters_purged", tally)


def kept_headers(letter: Letter) -> dict[str, Any]:
    """The headers of a letter that stays one.

    What the broker wrote cannot be sent again: what it said of a letter that it made is said in headers of ours.
    """
    headers = broker_independent(letter.headers)
    if letter.deaths:
        last = letter.deaths[0]
        headers |= {
            REASON_HEADER: letter.reason,
            CLASS_HEADER: "",
            MESSAGE_HEADER: f"the broker gave it up in {last.queue}, {last.count} times",
            WORKER_HEADER: letter.worker,
            **dict(zip(ORIGIN_HEADERS, (letter.exchange, letter.routing_key), strict=True)),
        }
        if letter.failed_at is not None:
            headers[FAILED_AT_HEADER] = letter.failed_at.isoformat(timespec="milliseconds")
    return headers


async def _gone(letters: Sequence[Letter]) -> Sequence[Fate]:
    return [Gone()] * len(letters)
