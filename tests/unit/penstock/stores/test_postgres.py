"""The pool, on connections and a clock moved by hand."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from pydantic import SecretStr

from penstock.errors import BatchError, SettingsError, SinkUnavailable
from penstock.settings import Postgres, Settings
from penstock.sink import Endpoint
from penstock.stores import postgres
from penstock.stores.postgres import Pool, endpoints

BEGIN = "BEGIN; SET LOCAL idle_in_transaction_session_timeout = 30000"


class FakeConnection:
    """Answers each statement, unless `answers` says otherwise."""

    def __init__(self) -> None:
        self.statements: list[str] = []
        self.answers: dict[str, BaseException | asyncio.Event] = {}
        self.terminated = False
        self.said_goodbye = False
        self.hangs_at_goodbye = False

    async def execute(self, statement: str) -> None:
        self.statements.append(statement)
        answer = self.answers.get(statement)
        if isinstance(answer, asyncio.Event):
            await answer.wait()
        elif answer is not None:
            raise answer

    def is_closed(self) -> bool:
        return self.terminated or self.said_goodbye

    def terminate(self) -> None:
        self.terminated = True

    async def close(self) -> None:
        if self.hangs_at_goodbye:
            await asyncio.Event().wait()
        self.said_goodbye = True


class SleepingClock:
    """Time moves when told; whoever sleeps says so in `sleeps` and waits for `waken`."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.sleeps: asyncio.Queue[float] = asyncio.Queue()
        self._wakened = asyncio.Event()

    def monotonic(self) -> float:
        return self.time

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.sleeps.put_nowait(seconds)
        await self._wakened.wait()
        self._wakened.clear()

    def waken(self) -> None:
        self._wakened.set()

    def uniform(self, low: float, _high: float) -> float:
        return low


class FakeServer:
    """Hands out connections; `failure`, when set, is what connecting raises."""

    def __init__(self) -> None:
        self.connections: list[FakeConnection] = []
        self.options: list[dict[str, Any]] = []
        self.failure: BaseException | None = None

    async def connect(self, dsn: str, **options: Any) -> Any:
        if self.failure is not None:
            raise self.failure
        self.options.append({"dsn": dsn, **options})
        self.connections.append(FakeConnection())
        return self.connections[-1]

    @property
    def alive(self) -> list[FakeConnection]:
        return [connection for connection in self.connections if not connection.is_closed()]


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def clock() -> SleepingClock:
    return SleepingClock()


def make_pool(server: FakeServer, clock: SleepingClock, **settings: Any) -> Pool:
    limits = Postgres(**{"pool_min": 1, "pool_max": 2, "connect_timeout": 0.05, **settings})
    return Pool(Endpoint("db:5432/x", "postgresql://u:p@db/x"), limits, "worker-1", clock=clock, connect=server.connect)


async def test_open_makes_the_minimum_with_our_options(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock, pool_min=2, statement_cache_size=0)
    await pool.open()
    assert len(server.alive) == pool.size == 2
    options = server.options[0]
    assert options["dsn"] == "postgresql://u:p@db/x"
    assert options["server_settings"] == {"application_name": "worker-1"}
    assert options["statement_cache_size"] == 0
    assert options["timeout"] == 0.05
    await pool.close()


async def test_open_with_no_minimum_still_finds_out_whether_the_server_is_there(
    server: FakeServer, clock: SleepingClock
) -> None:
    server.failure = ConnectionRefusedError(111, "refused")
    with pytest.raises(SinkUnavailable, match=r"db:5432/x.*POSTGRES_HOST"):
        await make_pool(server, clock, pool_min=0).open()


async def test_an_open_that_fails_half_way_leaves_nothing(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock, pool_min=2)

    async def refuse_the_second(dsn: str, **options: Any) -> Any:
        connection = await FakeServer.connect(server, dsn, **options)
        server.failure = TimeoutError()
        return connection

    pool._connect = refuse_the_second  # noqa: SLF001 the second connection fails
    with pytest.raises(SinkUnavailable, match="in time"):
        await pool.open()
    assert server.alive == []


@pytest.mark.parametrize("failure", [ValueError("pass@word"), asyncpg.ClientConfigurationError("pass@word")])
async def test_an_unusable_address_is_not_repeated(
    server: FakeServer, clock: SleepingClock, failure: Exception
) -> None:
    server.failure = failure
    with pytest.raises(SinkUnavailable) as raised:
        await make_pool(server, clock).open()
    assert "pass@word" not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__


async def test_a_transaction_commits_and_gives_its_connection_back(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    for statement in ("first", "second"):
        async with pool.transaction() as connection:
            await connection.execute(statement)
    assert len(server.connections) == 1
    assert server.connections[0].statements == [BEGIN, "first", "COMMIT", BEGIN, "second", "COMMIT"]
    await pool.close()


async def test_refused_data_rolls_back_and_keeps_the_connection(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].answers["bad"] = asyncpg.NotNullViolationError("no")
    with pytest.raises(BatchError) as raised:
        async with pool.transaction() as connection:
            await connection.execute("bad")
    assert raised.value.refusal.reason == "constraint"
    assert server.connections[0].statements == [BEGIN, "bad", "ROLLBACK"]
    assert server.alive == server.connections
    assert pool.size == 1
    await pool.close()


@pytest.mark.parametrize("statement", [BEGIN, "work", "COMMIT"])
@pytest.mark.parametrize("error", [asyncpg.AdminShutdownError("bye"), ConnectionResetError(104, "reset")])
async def test_a_failed_connection_is_terminated_and_never_used_again(
    server: FakeServer, clock: SleepingClock, statement: str, error: Exception
) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].answers[statement] = error
    with pytest.raises(SinkUnavailable):
        async with pool.transaction() as connection:
            await connection.execute("work")
    assert server.connections[0].terminated
    assert "ROLLBACK" not in server.connections[0].statements
    async with pool.transaction() as connection:
        assert connection is server.connections[1]
    await pool.close()


async def test_a_rollback_that_fails_is_an_outage(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].answers.update(
        {"bad": asyncpg.NotNullViolationError("no"), "ROLLBACK": ConnectionResetError(104, "reset")}
    )
    with pytest.raises(SinkUnavailable):
        async with pool.transaction() as connection:
            await connection.execute("bad")
    assert server.connections[0].terminated
    await pool.close()


@pytest.mark.parametrize("statement", [BEGIN, "work", "COMMIT"])
async def test_cancelled_it_terminates_without_another_word(
    server: FakeServer, clock: SleepingClock, statement: str
) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].answers[statement] = asyncio.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), pool.transaction() as connection:
            await connection.execute("work")
    assert server.connections[0].statements[-1] == statement
    assert server.connections[0].terminated
    assert pool.size == 0
    await pool.close()


async def test_an_error_of_the_body_itself_passes_and_terminates(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    with pytest.raises(KeyError):
        async with pool.transaction():
            raise KeyError("a bug")
    assert server.connections[0].terminated
    await pool.close()


async def test_more_users_than_connections_wait_and_then_are_told(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock, pool_max=1)
    await pool.open()
    async with pool.transaction():
        with pytest.raises(SinkUnavailable, match=r"postgres\.pool_max"):
            async with pool.transaction():
                pytest.fail("got a second connection of one")
    async with pool.transaction():
        assert len(server.connections) == 1
    await pool.close()


async def test_an_idle_connection_is_asked_before_it_is_used(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    clock.time += postgres.PING_AFTER_IDLE + 0.1
    async with pool.transaction():
        assert server.connections[0].statements == ["SELECT 1", BEGIN]
    server.connections[0].answers["SELECT 1"] = ConnectionResetError(104, "reset")
    clock.time += postgres.PING_AFTER_IDLE + 0.1
    async with pool.transaction() as connection:
        assert connection is server.connections[1]
    assert server.connections[0].terminated
    await pool.close()


async def test_an_idle_connection_that_does_not_answer_is_replaced(
    server: FakeServer, clock: SleepingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "PING_LIMIT", 0.01)
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].answers["SELECT 1"] = asyncio.Event()
    clock.time += postgres.PING_AFTER_IDLE + 0.1
    async with pool.transaction() as connection:
        assert connection is server.connections[1]
    assert server.connections[0].terminated
    await pool.close()


async def test_an_old_connection_is_replaced(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    clock.time += postgres.MAX_AGE + 1
    async with pool.transaction() as connection:
        assert connection is server.connections[1]
    assert server.connections[0].terminated
    assert "SELECT 1" not in server.connections[0].statements
    await pool.close()


async def test_every_30_s_dead_connections_go_and_the_minimum_comes_back(
    server: FakeServer, clock: SleepingClock
) -> None:
    pool = make_pool(server, clock, pool_min=2, pool_max=3)
    await pool.open()
    assert await clock.sleeps.get() == postgres.CHECK_EVERY
    server.connections[0].terminate()
    server.connections[1].answers["SELECT 1"] = ConnectionResetError(104, "reset")
    clock.time += postgres.CHECK_EVERY
    clock.waken()
    async with asyncio.timeout(5):
        await clock.sleeps.get()
    assert server.alive == server.connections[2:]
    assert pool.size == 2
    await pool.close()


async def test_a_check_in_an_outage_raises_nothing(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].terminate()
    server.failure = ConnectionRefusedError(111, "refused")
    await pool.check()
    assert pool.size == 0
    server.failure = None
    await pool.check()
    assert pool.size == 1
    await pool.close()


async def test_ping_is_bounded(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock)
    await pool.open()
    await pool.ping()
    server.connections[0].answers["SELECT 1"] = asyncio.Event()
    with pytest.raises(SinkUnavailable, match="db:5432/x does not answer"):
        await pool.ping()
    assert server.connections[0].terminated
    await pool.close()


async def test_close_takes_leave_of_idle_connections_and_ends_those_in_use(
    server: FakeServer, clock: SleepingClock
) -> None:
    pool = make_pool(server, clock, pool_min=2)
    await pool.open()
    async with pool.transaction():
        await pool.close()
    assert [connection.said_goodbye for connection in server.connections] == [True, False]
    assert [connection.terminated for connection in server.connections] == [True, True]
    with pytest.raises(SinkUnavailable, match="closed"):
        await pool.ping()
    await pool.close()
    assert server.alive == []


async def test_close_does_not_wait_for_a_server_that_is_away(
    server: FakeServer, clock: SleepingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CLOSE_LIMIT", 0.01)
    pool = make_pool(server, clock)
    await pool.open()
    server.connections[0].hangs_at_goodbye = True
    async with asyncio.timeout(1):
        await pool.close()
    assert server.connections[0].terminated


async def test_the_state_counts_connections_users_and_waits(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock, pool_max=1, connect_timeout=5)
    assert (pool.state.open, pool.state.oldest_seconds) == (0, None)
    await pool.open()
    clock.time += 20
    assert (pool.state.open, pool.state.idle, pool.state.in_use, pool.state.limit) == (1, 1, 0, 1)
    assert pool.state.oldest_seconds == 20
    async with pool.transaction():
        assert (pool.state.idle, pool.state.in_use, pool.state.lent, pool.state.waits) == (0, 1, 1, 0)
        second = asyncio.create_task(pool.ping())
        await asyncio.sleep(0)
        assert (pool.state.waiting, pool.state.waits) == (1, 1)
        clock.time += 3
    await second
    assert (pool.state.waiting, pool.state.waits, pool.state.lent, pool.state.acquire_seconds) == (0, 1, 2, 3)
    await pool.close()
    assert (pool.state.open, pool.state.oldest_seconds) == (0, None)


async def test_who_gives_up_waiting_is_counted_as_one_who_waited(server: FakeServer, clock: SleepingClock) -> None:
    pool = make_pool(server, clock, pool_max=1)
    await pool.open()
    async with pool.transaction():
        with pytest.raises(SinkUnavailable):
            await pool.ping()
    assert (pool.state.waiting, pool.state.waits, pool.state.lent) == (0, 1, 1)
    await pool.close()


@pytest.mark.parametrize(
    ("settings", "name", "url"),
    [
        ({}, "localhost:5432/postgres", "postgresql://postgres@localhost:5432/postgres"),
        ({"host": "db:5433", "database": "d"}, "db:5433/d", "postgresql://postgres@db:5433/d"),
        ({"host": "::1"}, "[::1]:5432/postgres", "postgresql://postgres@[::1]:5432/postgres"),
        ({"host": "[::1]:5433"}, "[::1]:5433/postgres", "postgresql://postgres@[::1]:5433/postgres"),
        ({"host": "/run/pg"}, "/run/pg:5432/postgres", "postgresql://postgres@%2Frun%2Fpg:5432/postgres"),
        (
            {"username": "a:b", "password": SecretStr("p@s/s"), "database": "a b"},
            "localhost:5432/a b",
            "postgresql://a%3Ab:p%40s%2Fs@localhost:5432/a%20b",
        ),
        (
            {"url": SecretStr("postgres://u:p@h:1/d?sslmode=require"), "host": "ignored"},
            "h:1/d",
            "postgres://u:p@h:1/d?sslmode=require",
        ),
        # With its port, so that a backup that is the primary in other words is found.
        ({"url": SecretStr("postgres://u:p@h/d")}, "h:5432/d", "postgres://u:p@h/d"),
        ({"url": SecretStr("postgres://u@[::1]/d")}, "[::1]:5432/d", "postgres://u@[::1]/d"),
        ({"url": SecretStr("postgres://u@a:1,b:2/d")}, "a:1,b:2/d", "postgres://u@a:1,b:2/d"),
        (
            {"tls": "require"},
            "localhost:5432/postgres",
            "postgresql://postgres@localhost:5432/postgres?sslmode=require",
        ),
        (
            {"url": SecretStr("postgres://u@h:1/d?sslmode=disable"), "tls": "require"},
            "h:1/d",
            "postgres://u@h:1/d?sslmode=disable",
        ),
    ],
)
def test_the_endpoint_of_settings(settings: dict[str, Any], name: str, url: str) -> None:
    [endpoint] = endpoints(Settings(postgres=Postgres(**settings)))
    assert endpoint == Endpoint(name, url)


def test_backups_come_after_the_primary_each_in_its_region_and_with_tls_as_set() -> None:
    backups = SecretStr("postgresql://u:hunter2@b/x\n postgresql://u@c:1/x?sslmode=disable")
    found = endpoints(Settings(postgres=Postgres(backup_url=backups, regions="north  south\nwest", tls="require")))
    assert list(found) == [
        Endpoint("localhost:5432/postgres", "postgresql://postgres@localhost:5432/postgres?sslmode=require", "north"),
        Endpoint("b:5432/x", "postgresql://u:hunter2@b/x?sslmode=require", "south"),
        Endpoint("c:1/x", "postgresql://u@c:1/x?sslmode=disable", "west"),
    ]
    assert "hunter2" not in repr(found)


def test_without_regions_no_server_stands_anywhere() -> None:
    found = endpoints(Settings(postgres=Postgres(backup_url=SecretStr("postgresql://u@b/x"))))
    assert [endpoint.region for endpoint in found] == ["", ""]


@pytest.mark.parametrize("setting", ["url", "backup_url"])
def test_a_url_whose_password_was_not_encoded_is_refused_unseen(setting: str) -> None:
    settings = Settings(postgres=Postgres.model_validate({setting: "postgresql://u:hun@ter2@db/x"}))
    with pytest.raises(SettingsError, match=f"POSTGRES_{setting.upper()} holds") as raised:
        endpoints(settings)
    assert "ter2" not in str(raised.value)
