"""Why a letter is in the DLQ, in plain words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.deadletter.view import UNKNOWN

if TYPE_CHECKING:
    from penstock.deadletter.view import Death, Letter

#: What the reasons that Penstock and its sinks give say, and what to do about it.
_REFUSED = {
    "not_json": "its body is no JSON. Mend it, or have the publisher mend it",
    "too_deep": "its body is nested deeper than limits.depth allows",
    "invalid": "the worker's model does not take its body. Mend the body, or the model and replay",
    "unmappable": "the worker's mapping failed on it. Mend the body, or the mapping and replay",
    "too_large": "it is larger than the worker or its sink takes",
    "bad_data": "the sink cannot store a value of it. Mend the value",
    "bad_row": "the mapping made no row of it that the sink takes. Mend the mapping and replay",
    "bad_name": "the sink cannot use a name in it. Mend the name",
    "constraint": "a constraint of the sink forbids it. Mend the record or the constraint and replay",
    "foreign_key": "a row that it refers to never came. Replay it once that row is there",
    "worker_died": "the worker's process died each time it tried this message alone. Mend the worker before a replay",
    "deadlock": "its turns all ended in deadlocks. Replay it",
    "serialization": "its turns all lost against other transactions. Replay it",
    "lock_timeout": "its turns all waited too long for a lock. Replay it",
    "lost_race": "its turns all lost against other writers. Replay it",
    "same_key": "the sink takes its key for that of another record. Replay it",
    UNKNOWN: "nothing in its headers says why: neither Penstock nor the broker put it here",
}
#: What the broker says of those that it dead-lettered itself.
_BROKER_MADE = {
    "delivery_limit": "was returned more often than the queue's x-delivery-limit allows",
    "expired": "waited there longer than its time to live",
    "maxlen": "was more than the queue's greatest length",
    "rejected": "was rejected by a consumer that is none of Penstock's",
}


def why(letter: Letter) -> str:
    """One or two sentences: who put it into the DLQ and why, and the error in the sink's or the model's own words."""
    if letter.deaths:
        last = letter.deaths[0]
        happened = _BROKER_MADE.get(last.reason, f"was dead-lettered there ({last.reason})")
        return f"The broker put it here: it came to {last.queue} and {happened}."
    said = _REFUSED.get(letter.reason, f"the worker {letter.worker} refused it for the reason {letter.reason}")
    sentence = said[0].upper() + said[1:] + "."
    error = ": ".join(filter(None, (letter.error_class, letter.error_message)))
    return f"{sentence} {error}" if error else sentence


def death_in_words(death: Death) -> str:
    """One entry of x-death."""
    times = "once" if death.count == 1 else f"{death.count} times"
    moment = f", last at {death.time:%Y-%m-%d %H:%M:%S}Z" if death.time else ""
    place = f"exchange '{death.exchange}'" if death.exchange else "the default exchange"
    return f"{death.reason} in {death.queue}, {times}{moment}; published to {place} with key '{death.routing_key}'"
