"""For tests of workers and sinks, here and in packages outside: records by hand and a sink in memory."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pamqp.commands import Basic

from penstock import taken
from penstock.delivery import Delivery
from penstock.errors import BatchError, SinkUnavailable
from penstock.kept import message_of
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.record import Batch, Record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Hashable, Sequence

    from penstock.message import Message
    from penstock.outcome import Outcome, Refusal
    from penstock.sink import Endpoint
    from penstock.worker import Mode


def make_delivery(
    body: bytes = b"{}",
    *,
    tag: int = 1,
    generation: int = 1,
    routing_key: str = "",
    redelivered: bool = False,
    properties: Basic.Properties | bytes | None = None,
) -> Delivery:
    """A delivery as it would have come from the exchange `test`."""
    return Delivery(
        generation=generation,
        tag=tag,
        body=body,
        exchange="test",
        routing_key=routing_key,
        redelivered=redelivered,
        properties=Basic.Properties() if properties is None else properties,
    )


def make_record(
    row: Any,
    natural_key: Hashable,
    *,
    version: int | None = None,
    key: str | None = None,
    content_hash: str | None = None,
) -> Record:
    """A record with its digests: taken from the row, its natural key and version, unless they are given."""
    digest = sha256(repr((natural_key, version, row)).encode()).hexdigest()
    return Record(
        delivery=make_delivery(),
        row=row,
        natural_key=natural_key,
        content_hash=digest if content_hash is None else content_hash,
        version=version,
        known_key=digest if key is None else key,
    )


def make_batch(*records: Record) -> Batch:
    """These records as one batch."""
    return Batch(records)


@dataclass(slots=True, eq=False)
class MemoryTaken:
    """What memory sinks have entered at endpoints with `records_taken`, and who has it in hand; by worker."""

    messages: defaultdict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    locks: defaultdict[str, asyncio.Lock] = field(default_factory=lambda: defaultdict(asyncio.Lock))


class MemorySink:
    """A sink in memory that keeps the whole contract, as a backup too; what it holds outlives close().

    `states` holds the last record by natural key (modes `upsert` and `update`, where a row is a dict
    and an update is merged into it); `events` holds every record in order (mode `append`).
    `outage`, when set, is what every call but close raises; `refuses` may name a refusal for a record.
    `batches` lists every batch that was committed. `backup` is what it recorded for a primary; give several sinks
    the same to make them processes of one worker.
    """

    def __init__(
        self,
        mode: Mode = "upsert",
        refuses: Callable[[Record], Refusal | None] = lambda _: None,
        *,
        worker: str = "test",
    ) -> None:
        self.mode = mode
        self.refuses = refuses
        self.worker = worker
        self.backup = MemoryTaken()
        self.outage: SinkUnavailable | None = None
        self.states: dict[Hashable, Record] = {}
        self.events: list[Record] = []
        self.batches: list[Batch] = []
        self.opened: Endpoint | None = None

    async def open(self, endpoint: Endpoint) -> None:
        """Remember the endpoint. Raises SinkUnavailable in an outage."""
        self._serve()
        self.opened = endpoint

    async def prepare(self) -> None:
        """Nothing is missing in memory. Raises SinkUnavailable in an outage or when not open."""
        self._serve_open()

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        """Take the whole batch or none of it. Raises BatchError with the position of the first refused record."""
        endpoint = self._serve_open()
        for position, record in enumerate(batch.records):
            if refusal := self.refuses(record):
                raise BatchError(refusal, (position,))
        take = self._append if self.mode == "append" else self._upsert
        outcomes = [WRITTEN if take(record) else DUPLICATE for record in batch.records]
        self.batches.append(batch)
        if endpoint.records_taken:
            written = {position for position, outcome in enumerate(outcomes) if outcome == WRITTEN}
            self.backup.messages[self.worker] += map(message_of, taken.to_enter(batch.records, written))
        return outcomes

    @asynccontextmanager
    async def taken(self, limit: int) -> AsyncIterator[Sequence[Message]]:
        """The first messages recorded, as Reconcilable.taken says."""
        self._serve_open()
        lock = self.backup.locks[self.worker]
        try:
            async with asyncio.timeout(taken.LOCK_LIMIT):
                await lock.acquire()
        except TimeoutError as error:
            raise SinkUnavailable(f"another process of {self.worker} has what was taken") from error
        try:
            page = self.backup.messages[self.worker][:limit]
            yield page
            self._serve_open()
            del self.backup.messages[self.worker][: len(page)]
        finally:
            lock.release()

    async def ping(self) -> None:
        """Raises SinkUnavailable in an outage or when not open."""
        self._serve_open()

    async def close(self) -> None:
        """Forget the endpoint; safe to call twice."""
        self.opened = None

    def _serve(self) -> None:
        if self.outage is not None:
            raise self.outage

    def _serve_open(self) -> Endpoint:
        self._serve()
        if self.opened is None:
            raise SinkUnavailable("the memory sink is not open")
        return self.opened

    def _append(self, record: Record) -> bool:
        if any(event.key == record.key for event in self.events):
            return False
        self.events.append(record)
        return True

    def _upsert(self, record: Record) -> bool:
        stored = self.states.get(record.natural_key)
        if stored is not None:
            if stored.content_hash and stored.content_hash == record.content_hash:
                return False
            if stored.version is not None and record.version is not None and stored.version > record.version:
                return False
            version = stored.version if record.version is None else record.version
            row = {**stored.row, **record.row} if self.mode == "update" else record.row
            record = replace(record, version=version, row=row)
        self.states[record.natural_key] = record
        return True
