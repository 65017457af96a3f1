"""Looking at workers, queues and stores that are made up."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from penstock.demo import watch as module
from penstock.demo.declaration import Demo, Graph
from penstock.demo.tasks import beside
from penstock.demo.watch import Watch
from penstock.demo.workers import WorkerLook, WorkerProcess
from penstock.errors import PenstockError, SinkUnavailable
from penstock.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from penstock.demo.snapshot import Snapshot


class World:
    """What there is to see, as the test wants it."""

    def __init__(self) -> None:
        self.look: WorkerLook | PenstockError | None = WorkerLook()
        self.ready = 0
        self.rows: int | None = 7
        self.nodes: int | None = 8
        self.shown: list[Snapshot] = []

    def watch(self) -> Watch:
        demo = Demo(
            reader="shop",
            table_worker="orders",
            graph_worker="orders",
            sample=Path(),
            rows=self.count_rows,
            graph=self.count_graph,
            queries=(),
        )
        worker = Worker(self)
        return Watch(demo, Settings(), [worker], {"orders": "orders-queue"}, self.depths, self)

    async def depths(self, names: Iterable[str]) -> dict[str, int]:
        assert list(names) == ["orders-queue"]
        return {"orders-queue": self.ready}

    async def count_rows(self, _settings: Settings) -> Mapping[str, int]:
        if self.rows is None:
            raise SinkUnavailable("down")
        return {"one": 1, "others": self.rows - 1}

    async def count_graph(self, _settings: Settings) -> Graph:
        if self.nodes is None:
            raise SinkUnavailable("down")
        return Graph({"N": self.nodes}, {"E": self.nodes + 1})

    def say(self, text: str) -> None:
        raise AssertionError(text)

    def show(self, snapshot: Snapshot) -> None:
        self.shown.append(snapshot)

    def finish(self) -> None:
        raise AssertionError


class Worker(WorkerProcess):
    """A worker without a process."""

    def __init__(self, world: World) -> None:
        self.name = "orders"
        self._world = world

    async def look(self) -> WorkerLook | None:
        if isinstance(self._world.look, PenstockError):
            raise self._world.look
        return self._world.look


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_INTERVAL", 0.0)
    monkeypatch.setattr(module, "COUNT_INTERVAL", 0.0)


async def seen(watch: Watch, what: str) -> Snapshot:
    """What a watch that runs saw when `what` held."""
    conditions = {
        "counted": lambda now: (now.rows, now.nodes, now.edges) == (7, 8, 9),
        "held": lambda now: now.workers[0].look.held == 3,
        "queued": lambda now: now.workers[0].queued == 5,
        "more nodes": lambda now: now.nodes == 80,
        "never": lambda _: False,
    }
    return await beside(asyncio.create_task(watch.run()), watch.until(conditions[what], what))


async def test_it_sees_workers_queues_and_stores_and_shows_them() -> None:
    world = World()
    watch = world.watch()
    await seen(watch, "counted")
    world.look = WorkerLook("open", ("sink",), held=3)
    assert (await seen(watch, "held")).worker("orders").breaker == "open, paused"
    world.ready = 5
    await seen(watch, "queued")
    assert world.shown[-1] == watch.snapshot


async def test_a_worker_that_does_not_answer_in_time_is_as_it_was() -> None:
    world = World()
    world.look = WorkerLook(held=3)
    watch = world.watch()
    await seen(watch, "held")
    world.look, world.ready = None, 5
    assert (await seen(watch, "queued")).workers[0].look.held == 3


async def test_of_a_store_that_is_away_the_last_count_stays_and_the_other_is_counted() -> None:
    world = World()
    watch = world.watch()
    await seen(watch, "counted")
    world.rows, world.nodes = None, 80
    assert (await seen(watch, "more nodes")).rows == 7
    with pytest.raises(SinkUnavailable):
        await watch.count_rows()


async def test_a_worker_that_has_ended_ends_the_waiting() -> None:
    world = World()
    world.look = PenstockError("the worker orders ended")
    with pytest.raises(PenstockError, match="the worker orders ended"):
        await seen(world.watch(), "never")


async def test_where_nothing_moves_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.0)
    with pytest.raises(PenstockError, match="never did not come about: nothing has moved for 0 s"):
        await seen(World().watch(), "never")
