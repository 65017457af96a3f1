"""A letter with another body: checked by the worker's model, and put in the place of the one that was read."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from penstock.codec import Codec
from penstock.deadletter.audit import carried_out
from penstock.deadletter.browse import browsing
from penstock.deadletter.filter import delivery_of_letter
from penstock.deadletter.letter import letter_properties
from penstock.deadletter.moving import kept_headers
from penstock.deadletter.replaying import ALL, AT_ONCE, UNSENDABLE, replayed, sent
from penstock.deadletter.transfer import Left, Manner, Transfer
from penstock.deadletter.written import Rows, key_is_forgotten
from penstock.errors import LetterRefused, UsageError
from penstock.idempotency import KEY_HEADER, digest, key_of
from penstock.outcome import Poison

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.deadletter.filter import Filter
    from penstock.deadletter.transfer import Fate, Tally
    from penstock.deadletter.view import Letter
    from penstock.settings import Settings
    from penstock.worker import Worker

#: Why a letter that the filter meets is left: it is not the one that was edited.
ANOTHER = "another"


async def the_only(settings: Settings, queue: str, wanted: Filter, position: int | None = None) -> Letter:
    """The one letter of a DLQ that is meant, by a filter and perhaps its position; it stays where it is.

    Raises UsageError where there are more, or none; LinkError, TopologyError.
    """
    found: list[Letter] = []
    async with browsing(settings.rabbitmq, queue, limit=None if position is None else position + 1) as letters:
        async for held in letters:
            letter = held.letter
            if position in {None, letter.position} and wanted.matches(letter, AT_ONCE.clock.now()):
                found.append(letter)
                if len(found) > 1:
                    break
    match found:
        case [letter]:
            return letter
        case []:
            raise UsageError(f"no letter of {queue} is meant by that: see penstock dlq show")
        case _:
            raise UsageError(f"that means more than one letter of {queue}: say which, with --key or --position")


async def edit(
    worker: Worker,
    settings: Settings,
    letter: Letter,
    body: bytes,
    *,
    keep: bool = False,
    force: bool = False,
    tally: Tally | None = None,
) -> Tally:
    """Replay `letter` with another body, or with `keep` put it back into the DLQ, at its end; its key stays.

    Raises LetterRefused, naming the field, for a body that the worker's model refuses, and where the letter is no
    longer in the DLQ as it was read; unless forced also where its row was written after it failed, or where it is an
    event older than ledger.age. Then nothing is changed.
    Raises LinkError, SinkUnavailable, TopologyError.
    """
    new = mended(worker, letter, body)
    check(worker, settings, new)
    target = worker.dead_letter_queue if keep else worker.queue
    if not (keep or force):
        if key_is_forgotten(worker, settings, letter, AT_ONCE.clock.now()):
            text = "it is older than ledger.age, and its event may have been written already"
            raise LetterRefused(f"{text}: use --force if it was not")
        async with Rows(worker, settings) as rows:
            if await rows.written_since([new]):
                text = "its row was written after it failed, and would be overwritten"
                raise LetterRefused(f"{text}: use --force if that is meant")

    async def decide(letters: Sequence[Letter]) -> Sequence[Fate]:
        fate = sent(new, target, kept_headers(new), body) if keep else replayed(new, target)
        return [fate if _same(found, letter) else Left(ANOTHER) for found in letters]

    transfer = Transfer(settings, worker.dead_letter_queue, ALL, decide, Manner(limit=1))
    tally = await carried_out(transfer, "dead_letter_edited", tally, to=target, key=new.key)
    if tally.left[UNSENDABLE]:
        raise LetterRefused("its headers are too large to be sent once more")
    if not tally.done:
        raise LetterRefused(f"it is not in {letter.queue} any more as it was read: somebody was faster")
    return tally


def check(worker: Worker, settings: Settings, letter: Letter) -> None:
    """Raise LetterRefused where the worker would not decode the letter, naming the field."""
    result = Codec(worker, settings.limits).decode(delivery_of_letter(letter))
    if isinstance(result, Poison):
        raise LetterRefused(f"{worker.name} would refuse it again ({result.reason}): {result.message}")


def mended(worker: Worker, letter: Letter, body: bytes) -> Letter:
    """The letter with another body, and the key that it has had."""
    key = letter.key or _key(worker, letter)
    headers: dict[str, Any] = {**letter.headers, KEY_HEADER: key}
    return replace(letter, body=body, key=key, properties=letter_properties(letter.properties, headers))


def _key(worker: Worker, letter: Letter) -> str:
    """The key that the worker has given the message, or would have, if the letter does not say it."""
    try:
        return key_of(letter.headers, from_json(letter.body, allow_inf_nan=False), worker.key_fields)
    except ValueError:
        return digest(letter.body)


def _same(one: Letter, other: Letter) -> bool:
    return one.body == other.body and dict(one.properties) == dict(other.properties)
