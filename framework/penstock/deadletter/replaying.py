"""Replay: letters back to the queue of the worker that refused them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.deadletter.audit import carried_out
from penstock.deadletter.filter import Filter
from penstock.deadletter.letter import (
    LARGEST_COUNT,
    OWN_PREFIX,
    REPLAYS_HEADER,
    broker_independent,
    can_be_sent,
    letter_properties,
)
from penstock.deadletter.transfer import Left, Manner, Parcel, Transfer
from penstock.deadletter.written import Rows, key_is_forgotten
from penstock.delivery import LEFT_OUT_HEADER, ORIGIN_HEADERS
from penstock.errors import UsageError
from penstock.idempotency import KEY_HEADER

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.deadletter.transfer import Fate, Tally
    from penstock.deadletter.view import Letter
    from penstock.settings import Settings
    from penstock.worker import Worker

#: Why a letter is left where it is.
REPLAYED_OFTEN = "replayed_often"
KEY_FORGOTTEN = "key_forgotten"
WRITTEN_SINCE = "written_since"
UNSENDABLE = "unsendable"

#: Of our own headers, those that a message keeps on its way back; the others tell of the failure that is over.
_CARRIED = frozenset({KEY_HEADER, LEFT_OUT_HEADER})

#: Every letter; and all of them at once.
ALL = Filter()
AT_ONCE = Manner()


async def replay(
    worker: Worker,
    settings: Settings,
    wanted: Filter = ALL,
    manner: Manner = AT_ONCE,
    *,
    to: str = "",
    force: bool = False,
    tally: Tally | None = None,
) -> Tally:
    """Publish letters of a worker's DLQ to its queue, or to the queue `to`; returns what became of them.

    They go through the default exchange, so that no other consumer of their exchange has them twice. Left alone,
    unless forced: a letter that was replayed dlq.replays times and came back (replayed_often), one whose row was
    written after it failed, if the worker's sink is LastWritten (written_since), and of an event one that is older
    than ledger.age (key_forgotten). One whose headers fit in no frame is left in any case (unsendable). Counts in
    `tally` as it goes.

    Raises LinkError and SinkUnavailable, after which every letter is in its old or its new place (a window of them at
    most in both, where the broker was lost), UsageError, TopologyError.
    """
    target = to or worker.queue
    refuse_same(worker.dead_letter_queue, target)
    async with Rows(worker, settings) as rows:

        async def decide(letters: Sequence[Letter]) -> Sequence[Fate]:
            if force:
                return [replayed(letter, target) for letter in letters]
            now = manner.clock.now()
            left = {letter: reason for letter in letters if (reason := _left_unasked(worker, settings, letter, now))}
            since = await rows.written_since([letter for letter in letters if letter not in left])
            left |= dict.fromkeys(since, WRITTEN_SINCE)
            return [Left(left[letter]) if letter in left else replayed(letter, target) for letter in letters]

        transfer = Transfer(settings, worker.dead_letter_queue, wanted, decide, manner)
        return await carried_out(transfer, "dead_letters_replayed", tally, to=target, forced=force)


def _left_unasked(worker: Worker, settings: Settings, letter: Letter, now: float) -> str:
    """Why a letter is left where it is, whatever the sink holds; empty where nothing speaks against it."""
    if letter.replays >= settings.dlq.replays:
        return REPLAYED_OFTEN
    return KEY_FORGOTTEN if key_is_forgotten(worker, settings, letter, now) else ""


def replayed(letter: Letter, queue: str, body: bytes | None = None) -> Parcel | Left:
    """A letter on its way to a queue once more, with another `body` where one is given.

    It carries the publisher's own headers, its key, where it was first published, and how often it has been replayed.
    """
    headers = {
        **{name: value for name, value in broker_independent(letter.headers).items() if _is_carried(name)},
        **dict(zip(ORIGIN_HEADERS, (letter.exchange, letter.routing_key), strict=True)),
        REPLAYS_HEADER: min(letter.replays + 1, LARGEST_COUNT - 1),
    }
    return sent(letter, queue, headers, letter.body if body is None else body)


def sent(letter: Letter, queue: str, headers: dict[str, Any], body: bytes) -> Parcel | Left:
    """A letter with other headers and this body, if a frame can hold them."""
    properties = letter_properties(letter.properties, headers)
    return Parcel(queue, body, properties) if can_be_sent(properties) else Left(UNSENDABLE)


def refuse_same(queue: str, target: str) -> None:
    """Raise UsageError where letters would go to where they come from."""
    if queue == target:
        raise UsageError(f"the letters are in {queue} already: name another queue")


def _is_carried(name: str) -> bool:
    return not name.startswith(OWN_PREFIX) or name in _CARRIED
