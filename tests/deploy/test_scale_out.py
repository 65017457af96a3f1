"""Two replicas of one worker on one queue: what the second one brings, and that nothing is lost when it goes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from bench import filling
from bench.processes import installed
from bench.replicas import EACH_WAY, check, drained, ended, limit_of, replicas
from bench.rows import bodies
from bench.scale import USUAL_BYTES
from bench.workers import ROWS
from penstock.drill.looks import sql
from penstock.drill.proxy import Proxy
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.drill.servers import Server

COUNT = 15_000


class Rows:
    """The table, past the proxy."""

    def __init__(self, url: str) -> None:
        self._url = url

    def count(self) -> int:
        """How many rows there are, each of them another record's."""
        [[found]] = asyncio.run(sql(self._url, "SELECT count(DISTINCT id) FROM bench_rows"))
        return int(found)

    def empty(self) -> None:
        asyncio.run(sql(self._url, "TRUNCATE bench_rows"))


@pytest.fixture
def rows(postgres_url: str) -> Rows:
    return Rows(postgres_url)


@pytest.fixture
def environment(postgres: Server, postgres_url: str, broker_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """What the worker is told whose every exchange with the database takes its time."""
    with Proxy(postgres.address) as proxy, proxy.delay(EACH_WAY):
        yield {**installed(tmp_path), "RABBITMQ_URL": broker_url, "POSTGRES_URL": proxy.url(postgres_url)}


def test_two_use_what_one_leaves_of_the_sink(
    environment: dict[str, str], rows: Rows, capsys: pytest.CaptureFixture[str]
) -> None:
    """How much faster is printed, not asserted: it is the machine's. That every message is written once is asserted."""
    one = drained(1, COUNT, environment, rows.count)
    rows.empty()
    two = drained(2, COUNT, environment, rows.count)
    with capsys.disabled():
        print(f"\ntwo replicas of one worker, {2000 * EACH_WAY:.0f} ms from the database: {limit_of(one, two)}")  # noqa: T201
    assert rows.count() == COUNT
    # Both had work, and the sink made them wait: else this has shown nothing of replicas.
    assert min(one.waiting, two.waiting) > 0


def test_scaling_down_loses_nothing(environment: dict[str, str], rows: Rows) -> None:
    with replicas(2, environment) as (first, second):
        filling.fill(environment["RABBITMQ_URL"], ROWS, bodies(COUNT, USUAL_BYTES), arrive=False)
        wait_until(
            lambda: all(one.metric("penstock_outcomes_total") >= COUNT / 10 for one in (first, second)), 60, "both work"
        )
        gone = ended(first)
        left = COUNT - rows.count()
        assert left > 0, "it was too late to be in the middle of the work"
        wait_until(lambda: rows.count() >= COUNT, 120, f"{COUNT} rows")
        wait_until(lambda: second.metric("penstock_held_messages") == 0, 60, "all is settled")
        stayed = ended(second)
    check([gone, stayed], COUNT)
    assert rows.count() == COUNT
    assert 0 < gone["written"] < COUNT
    assert filling.depth(environment["RABBITMQ_URL"], ROWS) == 0
