"""A graph over Bolt: one endpoint, a pool of connections, and transactions that end in time."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from neo4j import AsyncGraphDatabase, NotificationMinimumSeverity
from neo4j.exceptions import ConfigurationError

from penstock.clock import SystemClock
from penstock.errors import SinkUnavailable
from penstock.pools import PoolState, ServerState, Tally
from penstock.stores.neo4j_address import Address
from penstock.stores.neo4j_errors import DRIVER_ERRORS, ENCODING_ERRORS, classify, is_arcadedb
from penstock.stores.regions import in_regions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

    from neo4j import AsyncDriver, AsyncSession, AsyncTransaction, SummaryCounters

    from penstock.settings import Neo4j, Settings
    from penstock.sink import Endpoint

#: A connection idle for longer is asked whether it still answers before it is used, in seconds.
PING_AFTER_IDLE = 1.0
#: How long the read that measures the server may take, in seconds.
READ_LIMIT = 5.0
#: How long a polite good-bye may take, in seconds.
CLOSE_LIMIT = 1.0
#: What a server counts of the changes a statement made.
COUNTERS = (
    "nodes_created",
    "nodes_deleted",
    "relationships_created",
    "relationships_deleted",
    "properties_set",
    "labels_added",
    "labels_removed",
    "indexes_added",
    "indexes_removed",
    "constraints_added",
    "constraints_removed",
)

_log = structlog.get_logger()


def endpoints(settings: Settings) -> Sequence[Endpoint]:
    """The graph's servers of the settings, the primary first. Raises SettingsError for an unusable address."""
    found = [Address.of_settings(settings.neo4j), *Address.backups_of_settings(settings.neo4j)]
    return in_regions([address.endpoint for address in found], settings.neo4j.regions)


@dataclass(frozen=True, slots=True, eq=False)
class Transaction:
    """An open transaction. `counters` adds up what its statements changed: only what is not 0."""

    _transaction: AsyncTransaction
    _pool: Pool
    counters: Counter[str]

    async def run(self, statement: str, parameters: Mapping[str, Any] | None = None) -> list[list[Any]]:
        """Run one statement and return its rows, each the list of its values.

        Raises BatchError for a parameter that cannot be sent; the transaction stays usable.
        """
        with _lent(parameters or {}) as given:
            try:
                result = await self._transaction.run(statement, given)
            except ENCODING_ERRORS as error:
                raise classify(error) from error
            rows = [list(record.values()) async for record in result]
            summary = await result.consume()
        self._pool.agent = summary.server.agent
        self.counters.update(_counted(summary.counters))
        return rows


@contextmanager
def _lent(parameters: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Parameters whose lists are the driver's own, and empty at the end.

    Its result is in a cycle and keeps what it was given until garbage is looked for, which may be many batches later.
    """
    given = {name: list(value) if isinstance(value, list) else value for name, value in parameters.items()}
    try:
        yield given
    finally:
        for value in given.values():
            if isinstance(value, list):
                value.clear()


class Pool:
    """Connections to one endpoint, opened as they are needed, `pool_size` of them at most.

    A connection whose user was cancelled or ran out of time is cut, which takes no answer from the
    server, and is never used again.
    """

    def __init__(self, endpoint: Endpoint, settings: Neo4j, application_name: str, *, time_limit: float) -> None:
        """`application_name` shows in the server's list of connections; `time_limit` of a transaction is in seconds.

        Raises SinkUnavailable for an address that the driver cannot use.
        """
        self._name = endpoint.name
        self._time_limit = time_limit
        self._limit = settings.pool_size
        self._in_use = 0
        self._clock = SystemClock()
        self._tally = Tally(self._clock)
        #: What the server calls itself, as "Neo4j/5.26.0"; empty until it has answered.
        self.agent = ""
        address = Address.of_endpoint(endpoint)
        self._database = address.database
        try:
            self._driver = _driver(address, settings, application_name)
        except (ConfigurationError, ValueError) as error:
            raise SinkUnavailable(f"the driver cannot use the address of {endpoint.name}: {error}") from error

    @property
    def is_arcadedb(self) -> bool:
        """Whether the server has answered and is ArcadeDB."""
        return is_arcadedb(self.agent)

    @property
    def state(self) -> PoolState:
        """The pool as it is now: what has gone through our hands, for the driver tells nothing of its own."""
        return PoolState(
            limit=self._limit,
            setting="neo4j.pool_size",
            in_use=self._in_use,
            idle=None,
            oldest_seconds=None,
            waiting=self._tally.waiting,
            lent=self._tally.lent,
            acquire_seconds=self._tally.seconds,
            waits=self._tally.waits,
        )

    async def server_state(self) -> ServerState:
        """How long one read takes. Raises SinkUnavailable."""
        async with self.transaction(READ_LIMIT) as transaction:
            started = self._clock.monotonic()
            await transaction.run("RETURN 1")
            seconds = self._clock.monotonic() - started
        return ServerState(read_seconds=seconds, connections={}, limit=None)

    async def ping(self) -> None:
        """Have the database answer one statement. Raises SinkUnavailable."""
        # A connection alone proves little: ArcadeDB accepts one before its database is ready.
        async with self.transaction() as transaction:
            await transaction.run("RETURN 1")

    @asynccontextmanager
    async def transaction(self, time_limit: float | None = None) -> AsyncIterator[Transaction]:
        """One explicit transaction: committed at the end of the block, rolled back by any error.

        Raises what `classify` makes of the driver's error: BatchError, SinkUnavailable,
        ConnectionLost. At the time limit (seconds), and when the task is cancelled, the connection
        is cut without a word to the server, which may be frozen.
        """
        seconds = self._time_limit if time_limit is None else time_limit
        begun = False
        try:
            async with (
                asyncio.timeout(seconds),
                self._driver.session(database=self._database) as session,
                await self._begin(session, seconds) as transaction,
            ):
                begun = True
                self._in_use += 1
                try:
                    yield Transaction(transaction, self, Counter())
                finally:
                    self._in_use -= 1
        except DRIVER_ERRORS as error:
            raise classify(error, endpoint=self._name, agent=self.agent, begun=begun) from error

    async def _begin(self, session: AsyncSession, seconds: float) -> AsyncTransaction:
        # The driver takes a connection and has the server begin in one: both are in what the tally counts.
        with self._tally.acquiring(full=self._in_use + self._tally.waiting >= self._limit):
            # The server's own limit frees the locks of a worker that vanished; ours has to come first.
            return await session.begin_transaction(timeout=2 * seconds)

    async def close(self) -> None:
        """End every connection, within CLOSE_LIMIT seconds whatever the server does. Never raises; safe to repeat."""
        try:
            async with asyncio.timeout(CLOSE_LIMIT):
                await self._driver.close()
        except DRIVER_ERRORS as error:
            _log.warning("graph_close_failed", endpoint=self._name, error=type(error).__name__)


def _driver(address: Address, settings: Neo4j, application_name: str) -> AsyncDriver:
    return AsyncGraphDatabase.driver(
        address.uri,
        auth=address.login,
        user_agent=f"penstock/{application_name}",
        max_connection_pool_size=settings.pool_size,
        max_connection_lifetime=settings.connection_lifetime,
        connection_acquisition_timeout=settings.acquisition_timeout,
        connection_timeout=settings.connect_timeout,
        liveness_check_timeout=PING_AFTER_IDLE,
        # The writer decides what is tried again, and when.
        max_transaction_retry_time=0,
        notifications_min_severity=NotificationMinimumSeverity.OFF,
    )


def _counted(counters: SummaryCounters) -> dict[str, int]:
    return {name: count for name in COUNTERS if (count := getattr(counters, name))}
