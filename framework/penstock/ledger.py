"""The ledgers of workers whose records are events: what they hold, and the old keys taken out of them."""

from __future__ import annotations

import socket
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import structlog

from penstock.clock import SystemClock
from penstock.deadletter.audit import user
from penstock.endpoints import endpoints_of, open_each
from penstock.errors import SinkUnavailable
from penstock.failover import together
from penstock.replicas import Replicas
from penstock.sink import Prunable, Reconcilable
from penstock.target import outages_only

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from penstock.clock import Clock
    from penstock.settings import Settings
    from penstock.sink import Endpoint, LedgerPart, Sink
    from penstock.worker import Worker

log = structlog.get_logger(__name__)


@dataclass(slots=True, kw_only=True)
class LedgerTally:
    """A worker's ledger at one endpoint: how many keys it held, and when the oldest and newest were entered, UTC.

    `removed` of them were, or in a dry run would be: those entered before `before`; None where nothing is pruned.
    """

    endpoint: str
    keys: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None
    before: datetime | None = None
    removed: int = 0

    def add(self, part: LedgerPart) -> None:
        """Count a part."""
        self.keys += part.keys
        self.oldest = min((time for time in (self.oldest, part.oldest) if time is not None), default=None)
        self.newest = max((time for time in (self.newest, part.newest) if time is not None), default=None)


def keeps_ledger(worker: Worker, settings: Settings) -> bool:
    """Whether the worker's records are events, and its sink has a ledger for them that can be pruned."""
    return worker.mode == "append" and isinstance(worker.sink(worker, settings), Prunable)


async def look(worker: Worker, settings: Settings) -> list[LedgerTally]:
    """What the worker's ledger holds at each endpoint that is written; nothing where it keeps none. Changes nothing.

    Raises SinkUnavailable, SettingsError.
    """
    async with AsyncExitStack() as stack:
        return [one.tally for one in await _opened(worker, settings, stack)]


async def prune(
    worker: Worker, settings: Settings, *, dry_run: bool = False, clock: Clock | None = None
) -> list[LedgerTally]:
    """Remove the worker's keys that are older than ledger.age, at each endpoint that is written; what became of them.

    The age is that before the worker's newest key: while nothing is written nothing is forgotten either, so that what
    came back into the queue of a worker that stands still is known when it goes on. Each part is a transaction of its
    own, and is followed by a rest as long as it took: standbys keep up. Safe beside running workers and another prune.

    Raises SinkUnavailable, after which what was removed is removed, and SettingsError.
    """
    clock = clock or SystemClock()
    async with AsyncExitStack() as stack:
        ledgers = await _opened(worker, settings, stack)
        for ledger in ledgers:
            await _refuse_what_waits(worker, ledger, settings)
        for ledger in ledgers:
            tally = ledger.tally
            if tally.newest is None:
                continue
            # A clock that has once been ahead must not make all others old.
            newest = min(tally.newest, datetime.fromtimestamp(clock.now(), UTC))
            before = tally.before = newest - timedelta(seconds=settings.ledger.age)
            if dry_run:
                await _count(ledger, before, settings)
            else:
                with _audited(worker, tally, settings):
                    await _remove(ledger, before, settings, clock)
    return [ledger.tally for ledger in ledgers]


@dataclass(frozen=True, slots=True)
class _Ledger:
    """A ledger at an open endpoint, and what it held when it was opened: as a whole, and part by part."""

    endpoint: Endpoint
    sink: Prunable
    tally: LedgerTally
    parts: dict[int, LedgerPart]

    def due(self, before: datetime) -> list[int]:
        """The parts with keys that were entered before."""
        return [part for part, found in self.parts.items() if found.oldest is not None and found.oldest < before]


async def _opened(worker: Worker, settings: Settings, stack: AsyncExitStack) -> list[_Ledger]:
    """The ledgers that are written: of a replicated database the primary's, of two databases of their own both."""
    if not keeps_ledger(worker, settings):
        return []
    found, failures = await open_each(worker, settings, stack)
    if len(endpoints_of(worker, settings)) > 1 and settings.failover.mode == "replica":
        found = await _primary(found, failures, settings)
    if failures and (not found or settings.failover.mode == "independent"):
        raise together(failures)
    return [await _seen(endpoint, sink, settings) for endpoint, sink in found if isinstance(sink, Prunable)]


async def _primary(
    found: Sequence[tuple[Endpoint, Sink]], failures: list[SinkUnavailable], settings: Settings
) -> list[tuple[Endpoint, Sink]]:
    """The first that is the primary, if one is; why the others are not is added to the failures."""
    replicas = Replicas()
    for endpoint, sink in found:
        try:
            async with outages_only(endpoint.name, settings.retry.write_timeout):
                await replicas.admit(endpoint.name, sink)
        except SinkUnavailable as error:
            failures.append(error)
    # Only now, for one that was asked later may be on a higher timeline.
    return [(endpoint, sink) for endpoint, sink in found if replicas.role(endpoint.name) == "primary"][:1]


async def _seen(endpoint: Endpoint, sink: Prunable, settings: Settings) -> _Ledger:
    ledger = _Ledger(endpoint, sink, LedgerTally(endpoint=endpoint.name), {})
    async with outages_only(endpoint.name, settings.retry.write_timeout):
        places = await sink.ledger_parts()
    for place in places:
        async with outages_only(endpoint.name, settings.retry.write_timeout):
            ledger.parts[place] = await sink.ledger_part(place)
        ledger.tally.add(ledger.parts[place])
    return ledger


class _Looked(Exception):
    """Ends a look at what a backup took: a good end would have it forgotten."""


async def _refuse_what_waits(worker: Worker, ledger: _Ledger, settings: Settings) -> None:
    """Raise SinkUnavailable while a backup holds records for its primary, where some may be written already.

    A backup without a key has taken nothing.
    """
    name, sink = ledger.endpoint.name, ledger.sink
    if not (ledger.endpoint.records_taken and ledger.tally.keys and isinstance(sink, Reconcilable)):
        return
    waiting = 0
    with suppress(_Looked):
        async with outages_only(name, settings.retry.write_timeout, _Looked), sink.taken(1) as messages:
            waiting = len(messages)
            raise _Looked
    if waiting:
        raise SinkUnavailable(
            f"{name} holds records of {worker.name} that the primary was not given yet: nothing is pruned until a "
            "running worker has brought them there"
        )


async def _count(ledger: _Ledger, before: datetime, settings: Settings) -> None:
    for part in ledger.due(before):
        async with outages_only(ledger.endpoint.name, settings.retry.write_timeout):
            ledger.tally.removed += (await ledger.sink.ledger_part(part, before)).keys


async def _remove(ledger: _Ledger, before: datetime, settings: Settings, clock: Clock) -> None:
    for part in ledger.due(before):
        started = clock.monotonic()
        async with outages_only(ledger.endpoint.name, settings.retry.write_timeout):
            ledger.tally.removed += await ledger.sink.prune(part, before)
        await clock.sleep(clock.monotonic() - started)


@contextmanager
def _audited(worker: Worker, tally: LedgerTally, settings: Settings) -> Iterator[None]:
    """Log who has removed how many keys, however the block ends."""
    stage = "failed"
    try:
        yield
        stage = "ended"
    finally:
        line: dict[str, Any] = {"by": user(), "host": socket.gethostname(), "age_seconds": settings.ledger.age}
        # A warning, so that it is in the log of every command, as what is done to a DLQ by hand.
        log.warning("ledger_pruned", worker=worker.name, **line, **as_json(tally), stage=stage)


def as_json(tally: LedgerTally) -> dict[str, Any]:
    """A tally as JSON can say it; times in ISO 8601, UTC."""
    times = {"oldest": tally.oldest, "newest": tally.newest, "before": tally.before}
    said = {name: time and time.astimezone(UTC).isoformat(timespec="milliseconds") for name, time in times.items()}
    return {"endpoint": tally.endpoint, "keys": tally.keys, "removed": tally.removed, **said}
