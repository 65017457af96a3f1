"""The table sink: each batch one transaction, each effect once."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from penstock.clock import SystemClock
from penstock.errors import BatchError, SinkUnavailable, UsageError
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.stores.postgres import Pool
from penstock.stores.postgres_replica import replica_state
from penstock.stores.postgres_server import server_state
from penstock.taken import to_enter
from penstock_workers.table import ledger, taken
from penstock_workers.table.plan import check, steps
from penstock_workers.table.statements import (
    append,
    create_events,
    create_states,
    last_written,
    quote,
    template,
    upsert,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from datetime import datetime

    from penstock.message import Message
    from penstock.outcome import Outcome
    from penstock.pools import PoolState, ServerState
    from penstock.record import Batch, Record
    from penstock.settings import Settings
    from penstock.sink import Endpoint, LedgerPart, ReplicaState, Sink
    from penstock.stores.postgres import Connection
    from penstock.worker import Worker
    from penstock_workers.table.table import Table

#: The advisory lock under which tables are created: "penstock" in ASCII.
PREPARE_LOCK = int.from_bytes(b"penstock", "big")


def table_sink(*tables: Table) -> Callable[[Worker, Settings], Sink]:
    """For a worker's declaration: the sink that writes TableRows into these tables, as the worker's mode says."""

    def make(worker: Worker, settings: Settings) -> Sink:
        return TableSink(tables, worker, settings)

    return make


class TableSink:
    """Rows into PostgreSQL tables. The modes:

    upsert: a row is the whole state of its key; columns it does not give become NULL. A row whose
        content hash is stored already, or that is older than the stored version, is a Duplicate.
    update: as upsert, but columns the row does not give stay as they are. The stored hash is that
        of the last update.
    append: each row is an event and is inserted, its key entered into the ledger beside it; a key
        that is there already is a Duplicate.

    A row without a version overwrites one that has one, and leaves the stored version as it is.
    At an endpoint with `records_taken` each Written record is also entered in penstock_taken.
    Raises UsageError for tables that do not fit the mode.
    """

    def __init__(self, tables: Sequence[Table], worker: Worker, settings: Settings) -> None:
        self._tables = {table.name: table for table in tables}
        self._worker = worker
        self._settings = settings
        self._pool: Pool | None = None
        self._records_taken = False
        if not tables or len(self._tables) < len(tables):
            raise UsageError(f"worker {worker.name}: its table sink needs one or more tables, each once")
        for table in tables:
            if bool(table.key) == (worker.mode == "append"):
                how = "takes no key: leave it out" if table.key else "needs a key: name its columns"
                raise UsageError(f"worker {worker.name}: in mode {worker.mode}, table {table.name!r} {how}")

    async def open(self, endpoint: Endpoint) -> None:
        """Connect; change nothing. Raises SinkUnavailable within `connect_timeout` seconds a connection."""
        await self.close()
        pool = Pool(endpoint, self._settings.postgres, self._worker.name)
        await pool.open()
        self._pool = pool
        self._records_taken = endpoint.records_taken

    async def prepare(self) -> None:
        """Create the tables that are missing, within `write_timeout` seconds; alter none. Raises SinkUnavailable."""
        limit = self._settings.retry.write_timeout
        try:
            async with asyncio.timeout(limit), self._open_pool().transaction() as connection:
                await self._create_missing(connection)
        except TimeoutError as error:
            raise SinkUnavailable(f"PostgreSQL did not create the tables within {limit:g} s") from error
        except BatchError as error:
            # There is no batch yet: somebody creates the same without our lock, or a type's length is impossible.
            raise SinkUnavailable(f"the tables cannot be created: {error}") from error

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        """Write all records in one transaction. Returns Written or Duplicate per record; raises as Sink.write says.

        Waits as long as the server does: put an asyncio.timeout around it.
        """
        records = batch.records
        check(records, self._tables)
        async with self._open_pool().transaction(self._settings.retry.write_timeout) as connection:
            if self._worker.mode == "append":
                written = await self._append(connection, records)
            else:
                written = await self._upsert(connection, records)
            if self._records_taken:
                await taken.enter(connection, self._worker.name, to_enter(records, written))
        return [WRITTEN if position in written else DUPLICATE for position in range(len(records))]

    async def ping(self) -> None:
        """One round trip, within `connect_timeout` seconds. Raises SinkUnavailable."""
        await self._open_pool().ping()

    async def close(self) -> None:
        """Give back every connection. Never raises, safe to call twice."""
        pool, self._pool = self._pool, None
        if pool is not None:
            await pool.close()

    def taken(self, limit: int) -> AbstractAsyncContextManager[Sequence[Message]]:
        """The first messages taken, as Reconcilable.taken says; the block may last as long as it likes."""
        return taken.page(self._open_pool(), self._worker.name, limit, self._settings.retry.write_timeout)

    async def last_written(self, records: Sequence[Record]) -> Sequence[datetime | None]:
        """When each record's row was last written, or in mode `append` its event; as LastWritten says."""
        check(records, self._tables)
        written: list[datetime | None] = [None] * len(records)
        async with self._open_pool().transaction(self._settings.retry.write_timeout) as connection:
            if self._worker.mode == "append":
                events = [record.key for record in records]
                found = await connection.fetch(template("ledger_written"), self._worker.name, events)
                return [row[0] for row in found]
            for name in {record.row.table for record in records}:
                table = self._tables[name]
                positions = [position for position, record in enumerate(records) if record.row.table == name]
                keys = [[records[position].row.values[column] for position in positions] for column in table.key]
                found = await connection.fetch(last_written(table), *keys)
                for position, row in zip(positions, found, strict=True):
                    written[position] = row[0]
        return written

    async def ledger_parts(self) -> range:
        """The parts of the ledger, as Prunable says."""
        return await ledger.parts(self._open_pool())

    async def ledger_part(self, part: int, before: datetime | None = None) -> LedgerPart:
        """What a part of the ledger holds of this worker, as Prunable says."""
        return await ledger.look(self._open_pool(), self._worker.name, part, before)

    async def prune(self, part: int, before: datetime) -> int:
        """Remove this worker's keys of a part that were entered before, as Prunable says."""
        return await ledger.prune(self._open_pool(), self._worker.name, part, before)

    async def replica_state(self) -> ReplicaState:
        """Ask the server what it is, within 5 s. Raises SinkUnavailable."""
        return await replica_state(self._open_pool())

    def pool_state(self) -> PoolState | None:
        """The pool as it is now; None while the sink is closed."""
        return None if self._pool is None else self._pool.state

    async def server_state(self) -> ServerState:
        """Ask the server, within 5 s. Raises SinkUnavailable."""
        return await server_state(self._open_pool(), SystemClock())

    def _open_pool(self) -> Pool:
        if self._pool is None:
            raise SinkUnavailable("the table sink is not open")
        return self._pool

    async def _create_missing(self, connection: Connection) -> None:
        create = create_events if self._worker.mode == "append" else create_states
        wanted = {quote(table.name): create(table) for table in self._tables.values()}
        if self._worker.mode == "append":
            wanted["penstock_ledger"] = template("create_ledger")
        if self._records_taken:
            wanted[taken.TABLE] = template("create_taken")
        # Looked for first, because CREATE … IF NOT EXISTS wants the right to create even where nothing is missing.
        missing = [name for name in wanted if not await connection.fetchval(template("exists"), name)]
        if missing:
            await connection.execute(template("lock"), PREPARE_LOCK)
            for name in missing:
                await connection.execute(wanted[name])

    async def _upsert(self, connection: Connection, records: Sequence[Record]) -> set[int]:
        """The positions that were written."""
        written: set[int] = set()
        for step in steps(records, range(len(records)), self._tables, self._worker.mode):
            places = await connection.fetchval(
                upsert(step.table, step.columns),
                *step.arrays(records),
                [records[position].content_hash for position in step.positions],
                [records[position].version for position in step.positions],
            )
            written.update(step.positions[place - 1] for place in places or ())
        return written

    async def _append(self, connection: Connection, records: Sequence[Record]) -> set[int]:
        """The positions that were written: of each event the first, unless the ledger holds its key."""
        first: dict[str, int] = {}
        for position, record in enumerate(records):
            first.setdefault(record.key, position)
        found = await connection.fetch(template("ledger"), self._worker.name, list(first))
        written = sorted(first[row[0]] for row in found)
        for step in steps(records, written, self._tables, self._worker.mode):
            await connection.execute(append(step.table), *step.arrays(records))
        if not written:
            # The standby may lack what the ledger holds. (An upsert locks each duplicate's row, which is WAL enough.)
            await connection.execute(template("wait_for_standby"))
        return set(written)
