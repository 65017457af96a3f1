"""From publish to commit: a message alone on an idle queue, and one among others at half of the worker's speed."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
import time
from contextlib import contextmanager
from statistics import quantiles
from typing import TYPE_CHECKING

import aiormq
import asyncpg
from pamqp.commands import Basic

from bench.group import Found
from bench.processes import peer_environment
from bench.rows import body
from bench.scale import USUAL_BYTES
from bench.tables import Rows
from bench.workers import ROWS
from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from bench.group import Say
    from bench.scale import Scale
    from bench.servers import Servers

#: Seconds between two messages, at random so that nothing keeps step: on an idle queue more than a batch waits for
#: others, in a trickle less.
IDLE, TRICKLE = (0.15, 0.25), (0.01, 0.04)
#: Seconds between two looks into the table, and until a message must be there.
LOOK, THERE = 0.0002, 120
#: Ids that no other message has.
FIRST = 10_000_000
PROPERTIES = Basic.Properties(content_type="application/json", delivery_mode=2)
LOOK_UP = "SELECT true FROM bench_rows WHERE id = $1"


class Lone:
    """The usual loop on an idle queue; our worker on one, in a trickle, and at half load; round after round."""

    name = "lone"

    def __init__(self, servers: Servers, scale: Scale, environment: dict[str, str]) -> None:
        self._servers = servers
        self._rows = Rows(servers, scale, environment, size=USUAL_BYTES, kind="quorum")
        self._rounds = scale.other_rounds
        self._count = scale.samples
        self._fixed = environment

    def run(self, say: Say) -> Found:
        """Latencies in milliseconds; the ratios are those of the 99th percentiles to the idle loop's."""
        self._rows.prepare()
        whole = self._rows.table()
        say("lone_full_load", whole)
        bare: list[float] = []
        idle: list[float] = []
        trickle: list[float] = []
        half: list[float] = []
        for _ in range(self._rounds):
            with self._bare():
                bare += self._samples(IDLE)
            with self._worker():
                idle += self._samples(IDLE)
                trickle += self._samples(TRICKLE)
                with self._load(whole.rate / 2):
                    half += self._samples(TRICKLE)
        figures = {
            f"{name}_{what}_ms": 1000 * quantiles(found, n=100)[place]
            for name, found in (("bare", bare), ("lone", idle), ("trickle", trickle), ("half_load", half))
            for what, place in (("p50", 49), ("p99", 98))
        }
        ratios = {
            "lone_p99_vs_bare": figures["lone_p99_ms"] / figures["bare_p99_ms"],
            "half_load_p99_vs_bare": figures["half_load_p99_ms"] / figures["bare_p99_ms"],
        }
        return Found({"lone_full_load": [whole]}, ratios, figures)

    @contextmanager
    def _bare(self) -> Iterator[None]:
        """aio-pika and an INSERT: ends after so many messages."""
        self._servers.empty_table()
        with self._process("one_transaction", str(self._count + 1)) as process:
            self._warm()
            yield
            process.wait(THERE)

    @contextmanager
    def _worker(self) -> Iterator[None]:
        self._servers.empty_table()
        with Installation(self._environment()).start("run", ROWS) as process:
            process.wait_ready()
            self._warm()
            yield
            process.stop(THERE)

    @contextmanager
    def _load(self, rate: float) -> Iterator[None]:
        """Messages at a steady rate, beside the samples; they stop at the end of the block."""
        with self._process("steady_publisher", str(round(rate))) as process:
            before = self._servers.count_rows()
            wait_until(lambda: self._servers.count_rows() > before + rate, THERE, "the load is there")
            yield
            process.terminate()
            process.wait(THERE)

    @contextmanager
    def _process(self, module: str, word: str) -> Iterator[subprocess.Popen[bytes]]:
        command = [sys.executable, "-m", f"bench.peers.{module}", ROWS, word]
        environment = peer_environment(self._environment())
        with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) as process:
            try:
                yield process
            finally:
                process.kill()

    def _warm(self) -> None:
        """The first message takes as long as it takes to start, and is none of the samples."""
        asyncio.run(self._sampled([FIRST], IDLE))

    def _samples(self, apart: tuple[float, float]) -> list[float]:
        first = FIRST + random.randrange(1, 2**40)
        return asyncio.run(self._sampled(range(first, first + self._count), apart))

    async def _sampled(self, numbers: Iterable[int], apart: tuple[float, float]) -> list[float]:
        """Seconds from each publish until another connection sees the row."""
        found = []
        database = await asyncpg.connect(self._servers.postgres_url)
        async with await aiormq.connect(self._servers.virtual_host("quorum")) as connection:
            channel = await connection.channel(publisher_confirms=False)
            await _table_there(database)
            for number in numbers:
                await asyncio.sleep(random.uniform(*apart))
                at = time.perf_counter()
                await channel.basic_publish(body(number, USUAL_BYTES), routing_key=ROWS, properties=PROPERTIES)
                async with asyncio.timeout(THERE):
                    while not await database.fetchval(LOOK_UP, number):  # noqa: ASYNC110 - of another process
                        await asyncio.sleep(LOOK)
                found.append(time.perf_counter() - at)
        await database.close()
        return found

    def _environment(self) -> dict[str, str]:
        return self._servers.environment(self._fixed)


async def _table_there(database: asyncpg.Connection) -> None:
    async with asyncio.timeout(THERE):
        while not await database.fetchval("SELECT to_regclass('bench_rows')"):  # noqa: ASYNC110 - of another process
            await asyncio.sleep(LOOK)


def lone(servers: Servers, scale: Scale, environment: dict[str, str]) -> list[Lone]:
    """Latencies."""
    return [Lone(servers, scale, environment)]
