"""What the watch shows of a sink's pool and server, and when it warns."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from structlog.testing import capture_logs

from penstock.errors import SinkUnavailable
from penstock.metrics import Metrics
from penstock.pools import LOOK_EVERY, OWN_WAITS, WARN_EVERY, PoolWatch
from penstock.testing import MemorySink
from support.clock import ManualClock
from support.pooled import SERVER, PooledSink

if TYPE_CHECKING:
    from penstock.sink import Sink


class Bench:
    """A watch on a sink, with all that a test looks at."""

    def __init__(self, sink: Sink) -> None:
        self.clock = ManualClock()
        self.metrics = Metrics("w")
        self.watch = PoolWatch(sink, "primary", self.clock)
        self.metrics.pools([self.watch])

    async def events(self) -> list[str]:
        """Look, and say what was warned of."""
        with capture_logs() as logs:
            await self.watch.look()
        return [log["event"] for log in logs if log["log_level"] == "warning"]

    def metric(self, name: str, **labels: str) -> float | None:
        wanted = {"worker": "w", "endpoint": "primary", **labels}
        return self.metrics.registry.get_sample_value(f"penstock_{name}", wanted)


async def test_metrics_show_the_pool_as_it_is_now_and_the_server_as_last_seen() -> None:
    sink = PooledSink()
    bench = Bench(sink)
    states = ("open", "idle", "in_use", "waiting")
    assert [bench.metric("pool_connections", state=state) for state in states] == [3, 2, 1, 3]
    assert bench.metric("pool_limit") == 20
    assert bench.metric("pool_oldest_connection_seconds") == 75.5
    assert (bench.metric("pool_acquire_seconds_count"), bench.metric("pool_acquire_seconds_sum")) == (10, 0.25)
    assert bench.metric("pool_waits_total") == 0
    sink.pool_is(idle=None, oldest_seconds=None)
    assert [bench.metric("pool_connections", state=state) for state in states] == [None, None, 1, 3]
    assert bench.metric("server_connections_limit") is None
    await bench.watch.look()
    assert bench.metric("server_read_seconds") == 0.004
    assert bench.metric("server_connections", application="shop") == 6
    assert bench.metric("server_connections", application="discogs-table") == 3
    assert (bench.metric("server_connections_limit"), bench.metric("server_connections_share")) == (100, 0.09)
    assert [bench.metric("replication_lag_bytes", standby=name) for name in ("near", "far")] == [0, 4096]
    assert [bench.metric("replication_lag_seconds", standby=name) for name in ("near", "far")] == [0, None]


async def test_health_says_the_same() -> None:
    sink = PooledSink()
    bench = Bench(sink)
    assert bench.watch.health()["server"] is None
    await bench.watch.look()
    assert bench.watch.health() == {
        "pool": {"open": 3, "idle": 2, "in_use": 1, "waiting": 3, "limit": 20, "oldest_seconds": 75.5},
        "server": {
            "read_seconds": 0.004,
            "connections": {"shop": 6, "discogs-table": 3},
            "connections_limit": 100,
            "connections_share": 0.09,
            "standbys": {
                "near": {"lag_seconds": 0.0, "lag_bytes": 0},
                "far": {"lag_seconds": None, "lag_bytes": 4096},
            },
        },
    }


async def test_a_closed_pool_has_no_samples_and_its_server_is_not_asked() -> None:
    sink = PooledSink()
    bench = Bench(sink)
    await bench.watch.look()
    sink.pool = None
    await bench.watch.look()
    assert sink.asked == 1
    assert bench.watch.health() == {"pool": None, "server": None}
    assert bench.metric("pool_limit") is None
    assert bench.metric("server_read_seconds") is None


@pytest.mark.parametrize("error", [SinkUnavailable("away"), ZeroDivisionError("a bug"), asyncio.CancelledError()])
async def test_a_server_that_does_not_tell_stops_nothing(error: BaseException) -> None:
    sink = PooledSink()
    bench = Bench(sink)
    await bench.watch.look()
    sink.server = error
    assert await bench.events() == []
    assert bench.watch.server is None
    sink.server = SERVER
    await bench.watch.look()
    assert bench.watch.server == SERVER


async def test_it_looks_at_once_and_then_at_intervals_until_cancelled() -> None:
    sink = PooledSink()
    bench = Bench(sink)
    watching = asyncio.create_task(bench.watch.run())
    while sink.asked < 3:  # noqa: ASYNC110 the clock tells nobody
        await asyncio.sleep(0)
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert set(bench.clock.slept) == {LOOK_EVERY}
    assert len(bench.clock.slept) >= 2


async def test_a_sink_that_shows_no_pool_is_left_alone() -> None:
    bench = Bench(MemorySink())
    await bench.watch.run()
    assert bench.watch.health() == {"pool": None, "server": None}
    assert list(bench.metrics.summary()) != []


async def test_it_warns_before_the_server_has_no_connection_left_and_not_at_each_look() -> None:
    sink = PooledSink()
    bench = Bench(sink)

    def used(share: int) -> None:
        sink.server = replace(SERVER, connections={"shop": share - 1, "psql": 1})

    used(79)
    assert await bench.events() == []
    used(80)
    assert await bench.events() == ["server_connections_run_short"]
    bench.clock.time += WARN_EVERY - 1
    assert await bench.events() == []
    bench.clock.time += 1
    assert await bench.events() == ["server_connections_run_short"]
    sink.server = replace(SERVER, connections={}, limit=None)
    bench.clock.time += WARN_EVERY
    assert await bench.events() == []


async def test_it_warns_when_users_wait_for_a_pool_that_is_all_in_use() -> None:
    sink = PooledSink()
    bench = Bench(sink)

    async def warned(waits: int) -> list[Any]:
        sink.pool_is(waits=waits)
        with capture_logs() as logs:
            await bench.watch.look()
        return [(log["event"], log["waits"], log["limit"], log["advice"]) for log in logs]

    assert await warned(OWN_WAITS) == []
    short = OWN_WAITS + 1
    assert await warned(OWN_WAITS + short) == [("pool_runs_short", short, 20, "raise db.pool_max")]
    bench.clock.time += WARN_EVERY
    # Of a fresh pool all waits are new.
    assert await warned(short) == [("pool_runs_short", short, 20, "raise db.pool_max")]
    bench.clock.time += WARN_EVERY
    assert await warned(short) == []
