"""The connection is cut exactly at COMMIT: the batch is written again on a fresh pool, each effect once."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import pytest

from penstock.breaker import Breaker
from penstock.clock import SystemClock
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
    from collections.abc import AsyncIterator

    from penstock.record import Record
    from penstock.worker import Mode
    from penstock_workers.table.sink import TableSink

COMMIT = b"COMMIT\0"


class CuttingProxy:
    """Stands before PostgreSQL. While `armed`, the next COMMIT is the last that passes, or is not passed at all."""

    def __init__(self, url: str, *, passes: bool) -> None:
        self.armed = False
        self.cuts = 0
        self._to = urlsplit(url)
        self._passes = passes

    @asynccontextmanager
    async def url(self) -> AsyncIterator[str]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        async with server:
            login = self._to.netloc.rpartition("@")[0]
            port = server.sockets[0].getsockname()[1]
            yield urlunsplit(self._to._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        back, forth = await asyncio.open_connection(self._to.hostname, self._to.port)
        answering = asyncio.create_task(_answer(back, writer))
        asking = asyncio.create_task(self._ask(reader, forth, answering))
        await asyncio.wait({asking, answering}, return_when=asyncio.FIRST_COMPLETED)
        asking.cancel()
        answering.cancel()
        await asyncio.gather(asking, answering, return_exceptions=True)
        forth.close()
        writer.transport.abort()

    async def _ask(
        self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, answering: asyncio.Task[None]
    ) -> None:
        while data := await reader.read(65_536):
            if self.armed and COMMIT in data:
                self.armed = False
                self.cuts += 1
                answering.cancel()
                if self._passes:
                    forth.write(data)
                    await forth.drain()
                return
            forth.write(data)
            await forth.drain()


async def _answer(back: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await back.read(65_536):
        writer.write(data)
        await writer.drain()


def make_writer(sink: TableSink, mode: Mode, url: str) -> tuple[Writer, Failover]:
    settings, clock, metrics = Settings(), SystemClock(), Metrics("w")
    breaker = Breaker("proxy", settings.breaker, clock, metrics)
    target = Target(sink, Endpoint("proxy", url), settings, breaker=breaker, clock=clock, metrics=metrics)
    failover = Failover((target,), settings, clock=clock, metrics=metrics)
    return Writer(failover, mode, settings, fuse=Fuse(settings.fuse), clock=clock), failover


def play(number: int) -> Record:
    return make_record(TableRow("plays", {"data": f"{number}"}), number)


@pytest.mark.parametrize("mode", ["upsert", "append"])
@pytest.mark.parametrize("passes", [True, False])
async def test_cut_at_commit(database: Database, mode: Mode, *, passes: bool) -> None:
    table, make = (PLAYS, play) if mode == "append" else (ARTISTS, lambda number: artist(str(number)))
    proxy = CuttingProxy(database.url, passes=passes)
    async with proxy.url() as url:
        writer, failover = make_writer(database.sink(table, mode=mode), mode, url)
        await failover.open()
        try:
            assert await writer.write([make(0)]) == [WRITTEN]
            proxy.armed = True
            outcomes = await writer.write([make(number) for number in range(1, 101)])
        finally:
            await failover.close()
    assert proxy.cuts == 1
    assert failover.active.breaker.state == "closed"
    # A COMMIT that arrived may still be under way when the batch is written again: then that one waits, and finds it.
    assert outcomes == [DUPLICATE if passes else WRITTEN] * 100
    assert await database.look.fetchval(f"SELECT count(*) FROM {table.name}") == 101  # noqa: S608 a test's own table
