"""The connection is cut exactly at COMMIT: the batch is written again on a fresh pool, each effect once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from penstock.breaker import Breaker
from penstock.clock import SystemClock
from penstock.drill.proxy import POSTGRES_COMMIT, Proxy
from penstock.drill.servers import Address
from penstock.failover import Failover
from penstock.fuse import Fuse
from penstock.metrics import Metrics
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.settings import Settings
from penstock.sink import Endpoint
from penstock.target import Target
from penstock.testing import make_record
from penstock.writer import Writer
from penstock_workers.table.row import TableRow
from support.tables import ARTISTS, PLAYS, Database, artist

if TYPE_CHECKING:
    from penstock.record import Record
    from penstock.worker import Mode
    from penstock_workers.table.sink import TableSink


def make_writer(sink: TableSink, mode: Mode, url: str) -> tuple[Writer, Failover]:
    settings, clock, metrics = Settings(), SystemClock(), Metrics("w")
    breaker = Breaker("proxy", settings.breaker, clock, metrics)
    target = Target(sink, Endpoint("proxy", url), settings, breaker=breaker, clock=clock, metrics=metrics)
    failover = Failover((target,), settings, clock=clock, metrics=metrics)
    return Writer(failover, mode, settings, fuse=Fuse(settings.fuse), clock=clock), failover


def play(number: int) -> Record:
    return make_record(TableRow("plays", {"data": f"{number}"}), number)


@pytest.mark.parametrize("mode", ["upsert", "append"])
@pytest.mark.parametrize("message", ["delivered", "swallowed"])
async def test_cut_at_commit(database: Database, mode: Mode, message: Literal["delivered", "swallowed"]) -> None:
    table, make = (PLAYS, play) if mode == "append" else (ARTISTS, lambda number: artist(str(number)))
    with Proxy(Address(database.url)) as proxy:
        writer, failover = make_writer(database.sink(table, mode=mode), mode, proxy.url(database.url))
        await failover.open()
        try:
            assert await writer.write([make(0)]) == [WRITTEN]
            with proxy.trap(POSTGRES_COMMIT, "reset", message) as trap:
                outcomes = await writer.write([make(number) for number in range(1, 101)])
            assert trap.sprung.is_set()
        finally:
            await failover.close()
    assert proxy.resets == 1
    assert failover.active.breaker.state == "closed"
    # A COMMIT that arrived may still be under way when the batch is written again: then that one waits, and finds it.
    assert outcomes == [DUPLICATE if message == "delivered" else WRITTEN] * 100
    assert await database.look.fetchval(f"SELECT count(*) FROM {table.name}") == 101  # noqa: S608 a test's own table
