"""Resilient connections to one PostgreSQL server: none of them can hang its user."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import asyncpg

from penstock.addresses import split_host, with_query, without_password
from penstock.clock import SystemClock
from penstock.errors import BatchError, SettingsError, SinkUnavailable
from penstock.keepalive import keep_alive
from penstock.pools import PoolState, Tally
from penstock.settings import backup_urls
from penstock.sink import Endpoint
from penstock.stores.postgres_errors import DRIVER_ERRORS, classify
from penstock.stores.regions import in_regions

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    from penstock.clock import Clock
    from penstock.settings import Postgres, Settings

    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

DEFAULT_PORT = 5432
#: A connection older than this is replaced when it is next idle, in seconds: passwords, routes and
#: load balancers change.
MAX_AGE = 1800.0
#: A connection idle for longer is asked whether it still answers before it is used, in seconds.
PING_AFTER_IDLE = 1.0
#: How long that answer may take, in seconds.
PING_LIMIT = 5.0
#: How often idle connections are looked after, in seconds.
CHECK_EVERY = 30.0
#: A transaction of which the server hears nothing for so long is over, in seconds, where nobody says otherwise.
IDLE_LIMIT = 30.0
#: How long a polite good-bye may take, in seconds.
CLOSE_LIMIT = 1.0


def endpoints(settings: Settings) -> Sequence[Endpoint]:
    """The PostgreSQL servers of the settings, the primary first. Raises SettingsError for an unusable URL."""
    postgres = settings.postgres
    primary = _of_parts(postgres) if postgres.url is None else _of_url(postgres.url.get_secret_value(), "POSTGRES_URL")
    backups = [_of_url(url, "POSTGRES_BACKUP_URL") for url in backup_urls(postgres)]
    found = [replace(one, url=_with_tls(one.url, postgres)) for one in (primary, *backups)]
    return in_regions(found, postgres.regions)


def _of_parts(postgres: Postgres) -> Endpoint:
    host, port = split_host(postgres.host, postgres.port)
    login = quote(postgres.username, safe="")
    if password := postgres.password.get_secret_value():
        login += ":" + quote(password, safe="")
    # A host may be the folder of a Unix socket; the brackets of an IPv6 address stay.
    address = f"{quote(host, safe='[:]')}:{port}"
    return Endpoint(
        name=f"{host}:{port}/{postgres.database}",
        url=f"postgresql://{login}@{address}/{quote(postgres.database, safe='')}",
    )


def _of_url(url: str, variable: str) -> Endpoint:
    if url.partition("://")[2].partition("/")[0].count("@") > 1:
        # The driver takes what is after the first for the host's name, and says it in its errors.
        raise SettingsError(f"{variable} holds an @ in its username or password: percent-encode it (%40)")
    hosts, slash, database = without_password(url).partition("://")[2].rpartition("@")[2].partition("/")
    if hosts and "," not in hosts:
        # With its port, so that one server has one name however it is written.
        hosts = ":".join(map(str, split_host(hosts, DEFAULT_PORT)))
    return Endpoint(name=f"{hosts}{slash}{database}", url=url)


def _with_tls(url: str, postgres: Postgres) -> str:
    """The URL with the settings of TLS, as far as it does not say otherwise itself."""
    if postgres.tls is not None:
        url = with_query(url, "sslmode", postgres.tls)
    if postgres.tls_ca is not None:
        url = with_query(url, "sslrootcert", quote(postgres.tls_ca, safe="/"))
    return url


class KeptAliveConnection(Connection):
    """A connection with TCP keepalive, for which the driver has no option."""

    def __init__(self, protocol: Any, transport: asyncio.Transport, *arguments: Any) -> None:
        super().__init__(protocol, transport, *arguments)
        keep_alive(transport.get_extra_info("socket"))


@dataclass(slots=True, eq=False)
class _Lease:
    connection: Connection
    born: float
    idle_since: float


class Pool:
    """Connections to one endpoint, between `pool_min` and `pool_max` of them.

    It keeps no session state, so it works behind a PgBouncer in transaction mode
    (`statement_cache_size` 0 there). A connection that failed, or whose user was cancelled, is
    never used again: it is terminated, which takes no answer from the server.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        settings: Postgres,
        application_name: str,
        *,
        clock: Clock | None = None,
        connect: Callable[..., Awaitable[Connection]] = asyncpg.connect,
    ) -> None:
        self._endpoint = endpoint
        self._settings = settings
        self._application_name = application_name
        self._clock = clock or SystemClock()
        self._connect = connect
        self._idle: list[_Lease] = []
        self._in_use: set[_Lease] = set()
        self._turn = asyncio.Semaphore(settings.pool_max)
        self._tally = Tally(self._clock)
        self._closed = False
        self._carer: asyncio.Task[None] | None = None

    @property
    def size(self) -> int:
        """How many connections there are, idle and in use."""
        return len(self._idle) + len(self._in_use)

    @property
    def state(self) -> PoolState:
        """The pool as it is now."""
        now = self._clock.monotonic()
        return PoolState(
            limit=self._settings.pool_max,
            setting="postgres.pool_max",
            in_use=len(self._in_use),
            idle=len(self._idle),
            oldest_seconds=max((now - lease.born for lease in (*self._idle, *self._in_use)), default=None),
            waiting=self._tally.waiting,
            lent=self._tally.lent,
            acquire_seconds=self._tally.seconds,
            waits=self._tally.waits,
        )

    async def open(self) -> None:
        """Make `pool_min` connections, at least one. Raises SinkUnavailable, and then none is left behind."""
        try:
            for _ in range(max(1, self._settings.pool_min)):
                self._idle.append(await self._dial())
        except BaseException:
            self._terminate_all()
            raise
        self._carer = asyncio.create_task(self._look_after())

    @asynccontextmanager
    async def transaction(self, idle_limit: float = IDLE_LIMIT) -> AsyncIterator[Connection]:
        """A connection inside a transaction: committed at the end, rolled back when the server refused the data.

        The server ends it, and gives its locks back, once it has heard nothing for `idle_limit` seconds.

        Raises what `classify` makes of the driver's error: BatchError, SinkUnavailable, ConnectionLost.
        Put an asyncio.timeout around it: on cancellation the connection is terminated at once.
        """
        async with self._connection() as connection:
            # In one round trip. A COMMIT that is lost on its way leaves a server with the locks that the retry needs.
            limit = f"SET LOCAL idle_in_transaction_session_timeout = {round(idle_limit * 1000)}"
            await connection.execute(f"BEGIN; {limit}")
            try:
                yield connection
            except DRIVER_ERRORS as error:
                if isinstance(classify(error), BatchError):
                    await connection.execute("ROLLBACK")
                raise
            await connection.execute("COMMIT")

    async def ping(self) -> None:
        """One round trip, within `connect_timeout` seconds. Raises SinkUnavailable."""
        try:
            async with asyncio.timeout(self._settings.connect_timeout), self._connection() as connection:
                await connection.execute("SELECT 1")
        except TimeoutError as error:
            raise SinkUnavailable(f"PostgreSQL at {self._endpoint.name} does not answer") from error

    async def check(self) -> None:
        """Replace idle connections that are too old or do not answer, and come up to `pool_min` again."""
        for lease in list(self._idle):
            if lease not in self._idle:
                continue  # somebody uses it meanwhile
            # An outage is for the next user to meet, who can report it.
            with contextlib.suppress(SinkUnavailable):
                self._idle.remove(lease)
                if await self._is_usable(lease):
                    self._idle.append(lease)
        with contextlib.suppress(SinkUnavailable):
            while not self._closed and self.size < self._settings.pool_min:
                self._idle.append(await self._dial())

    async def close(self) -> None:
        """End every connection, within CLOSE_LIMIT seconds whatever the server does. Never raises; safe twice."""
        self._closed = True
        carer, self._carer = self._carer, None
        try:
            if carer is not None:
                carer.cancel()
                await asyncio.wait({carer})
            # A server that does not answer a good-bye is away; terminating needs no answer.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_LIMIT):
                    await asyncio.gather(*(_say_goodbye(lease.connection) for lease in self._idle))
        finally:
            self._terminate_all()

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        """A usable connection; it goes back only if it is sure to be sound."""
        async with AsyncExitStack() as turn:
            with self._tally.acquiring(full=self._turn.locked()):
                await turn.enter_async_context(self._a_turn())
                lent = await self._take()
            self._in_use.add(lent)
            sound = False
            try:
                yield lent.connection
                sound = True
            except DRIVER_ERRORS as error:
                meaning = classify(error)
                sound = isinstance(meaning, BatchError)
                raise meaning from error
            finally:
                # A set, not a list: close() may have ended it meanwhile.
                self._in_use.discard(lent)
                self._give_back(lent, sound=sound)

    @asynccontextmanager
    async def _a_turn(self) -> AsyncIterator[None]:
        try:
            async with asyncio.timeout(self._settings.connect_timeout):
                await self._turn.acquire()
        except TimeoutError as error:
            text = f"all {self._settings.pool_max} connections to PostgreSQL are in use: raise postgres.pool_max"
            raise SinkUnavailable(text) from error
        try:
            yield
        finally:
            self._turn.release()

    async def _take(self) -> _Lease:
        """The connection used last, if it still answers, or a new one."""
        while self._idle and not self._closed:
            lease = self._idle.pop()
            if await self._is_usable(lease):
                return lease
        if self._closed:
            raise SinkUnavailable(f"the pool of PostgreSQL at {self._endpoint.name} is closed")
        return await self._dial()

    def _give_back(self, lease: _Lease, *, sound: bool) -> None:
        if sound and not self._closed and not lease.connection.is_closed():
            lease.idle_since = self._clock.monotonic()
            self._idle.append(lease)
        else:
            lease.connection.terminate()

    async def _is_usable(self, lease: _Lease) -> bool:
        """Whether an idle connection is young and answers; if not, it is terminated."""
        now = self._clock.monotonic()
        usable = False
        try:
            if lease.connection.is_closed() or now - lease.born > MAX_AGE:
                return False
            if now - lease.idle_since > PING_AFTER_IDLE:
                async with asyncio.timeout(PING_LIMIT):
                    await lease.connection.execute("SELECT 1")
            usable = True
        except DRIVER_ERRORS:
            return False
        finally:
            if not usable:
                lease.connection.terminate()
        return True

    async def _dial(self) -> _Lease:
        try:
            connection = await self._connect(
                self._endpoint.url,
                timeout=self._settings.connect_timeout,
                statement_cache_size=self._settings.statement_cache_size,
                server_settings={"application_name": self._application_name},
                connection_class=KeptAliveConnection,
            )
        except ssl.SSLCertVerificationError as error:
            raise SinkUnavailable(f"{self._endpoint.name}: {classify(error)}") from error
        except ValueError:
            # Without the driver's own text, and not even chained: it may quote the address, password and all.
            text = f"the address of PostgreSQL at {self._endpoint.name} cannot be used: check POSTGRES_URL"
            raise SinkUnavailable(text) from None
        except DRIVER_ERRORS as error:
            raise SinkUnavailable(f"{self._endpoint.name}: {classify(error)}") from error
        now = self._clock.monotonic()
        return _Lease(connection, born=now, idle_since=now)

    async def _look_after(self) -> None:
        while True:
            await self._clock.sleep(CHECK_EVERY)
            await self.check()

    def _terminate_all(self) -> None:
        for lease in (*self._idle, *self._in_use):
            lease.connection.terminate()
        self._idle.clear()


async def _say_goodbye(connection: Connection) -> None:
    with contextlib.suppress(*DRIVER_ERRORS):
        await connection.close()
