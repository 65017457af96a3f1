"""A letter as people look at it: whose it is, why it is there, since when, and how often it was tried."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from penstock.deadletter.fingerprint import fingerprint, group_id
from penstock.deadletter.letter import (
    ATTEMPTS_HEADER,
    CLASS_HEADER,
    FAILED_AT_HEADER,
    MESSAGE_HEADER,
    REASON_HEADER,
    REPLAYS_HEADER,
    WORKER_HEADER,
    count,
)
from penstock.delivery import ORIGIN_HEADERS
from penstock.idempotency import header_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pamqp.commands import Basic

    from penstock.delivery import Delivery

#: The reason of a message in the DLQ that neither Penstock nor the broker put there.
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Death:
    """One entry of x-death: how the broker dead-lettered a message from a queue, `count` times, last at `time`."""

    queue: str
    reason: str
    count: int
    time: datetime | None
    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """One letter in a DLQ. `position` counts from the oldest, which has 0; `deaths` begin with the last.

    `key` is the record's key, None on a message that never had one. `exchange` and `routing_key` are where the
    message was first published. `attempts` are turns, `replays` ways back into the queue.
    """

    queue: str
    position: int
    worker: str
    reason: str
    error_class: str
    error_message: str
    failed_at: datetime | None
    key: str | None
    attempts: int
    replays: int
    exchange: str
    routing_key: str
    deaths: tuple[Death, ...]
    body: bytes
    properties: Basic.Properties

    @property
    def headers(self) -> dict[str, Any]:
        """The letter's headers; an empty dict where it has none."""
        return self.properties.headers or {}

    @property
    def fingerprint(self) -> str:
        """The error message without its values."""
        return fingerprint(self.error_message)

    @property
    def group(self) -> str:
        """The name of its group: letters of one worker, reason, error class and fingerprint."""
        return group_id(self.worker, self.reason, self.error_class, self.fingerprint)

    def age(self, now: float) -> float | None:
        """Seconds since it failed; `now` in epoch seconds. None where that is not known."""
        return None if self.failed_at is None else now - self.failed_at.timestamp()


def letter_of(queue: str, position: int, delivery: Delivery) -> Letter:
    """The letter that was delivered from a DLQ.

    x-death says why where it is there: Penstock sends no letter with it, so the broker moved this message last, and
    what penstock-* headers say of an error is older than that.
    """
    headers = delivery.headers
    deaths = deaths_of(headers)
    first = deaths[-1] if deaths else delivery
    of_exchange, of_routing_key = ORIGIN_HEADERS
    return Letter(
        queue=queue,
        position=position,
        worker=_worker(queue, headers, deaths),
        reason=deaths[0].reason if deaths else _text(headers.get(REASON_HEADER)) or UNKNOWN,
        error_class="" if deaths else _text(headers.get(CLASS_HEADER)),
        error_message="" if deaths else _text(headers.get(MESSAGE_HEADER)),
        failed_at=deaths[0].time if deaths else _moment(headers.get(FAILED_AT_HEADER)),
        key=header_key(headers),
        attempts=count(headers.get(ATTEMPTS_HEADER)),
        replays=count(headers.get(REPLAYS_HEADER)),
        exchange=_first(headers, of_exchange, first.exchange),
        routing_key=_first(headers, of_routing_key, first.routing_key),
        deaths=deaths,
        body=delivery.body,
        properties=delivery.properties,
    )


def deaths_of(headers: Mapping[str, Any]) -> tuple[Death, ...]:
    """What x-death says, the last death first; nothing for what is not in the broker's form."""
    entries = headers.get("x-death")
    if not isinstance(entries, list):
        return ()
    return tuple(_death(entry) for entry in entries if isinstance(entry, dict) and entry.get("reason"))


def _death(entry: Mapping[str, Any]) -> Death:
    keys = entry.get("routing-keys")
    return Death(
        queue=_text(entry.get("queue")),
        reason=_text(entry.get("reason")),
        count=count(entry.get("count")),
        time=_moment(entry.get("time")),
        exchange=_text(entry.get("exchange")),
        routing_key=_text(keys[0]) if isinstance(keys, list) and keys else "",
    )


def _worker(queue: str, headers: Mapping[str, Any], deaths: tuple[Death, ...]) -> str:
    """Its header, else the queue it died in, which has the worker's name, else what the DLQ is called after."""
    if named := _text(headers.get(WORKER_HEADER)):
        return named
    own = queue.removesuffix(".dlq")
    return own if own != queue or not deaths else deaths[0].queue


def _first(headers: Mapping[str, Any], name: str, otherwise: str) -> str:
    return _text(headers[name]) if name in headers else otherwise


def _text(value: object) -> str:
    """A header's value as text; anybody may have put anything there."""
    match value:
        case None:
            return ""
        case bytes() | bytearray():
            return value.decode("utf-8", "replace")
        case _:
            return str(value)


def _moment(value: object) -> datetime | None:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    return value if value.tzinfo else value.replace(tzinfo=UTC)
