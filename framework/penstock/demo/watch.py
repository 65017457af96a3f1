"""Looks at workers, queues and stores again and again, shows what it sees, and tells those who wait for something."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from penstock.demo.snapshot import Rate, Snapshot, WorkerState
from penstock.demo.tasks import beside
from penstock.errors import PenstockError, SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.demo.declaration import Demo, Graph
    from penstock.demo.progress import Display
    from penstock.demo.queues import Depths
    from penstock.demo.workers import WorkerProcess
    from penstock.settings import Settings

#: Seconds between two looks at the workers.
LOOK_INTERVAL = 0.1
#: The same for the stores; to count in a large one takes its time: the pause is COUNT_SHARE times as long at least.
COUNT_INTERVAL = 0.5
COUNT_SHARE = 4.0
#: Seconds without any movement after which what is awaited will hardly come.
PATIENCE = 60.0


class Watch:
    """What it saw last is its `snapshot`."""

    def __init__(
        self,
        demo: Demo,
        settings: Settings,
        workers: Sequence[WorkerProcess],
        queues: Mapping[str, str],
        depths: Depths,
        display: Display,
    ) -> None:
        """`queues` are the names of the workers' queues, by worker."""
        self.snapshot = Snapshot(tuple(WorkerState(worker.name) for worker in workers))
        self._demo = demo
        self._settings = settings
        self._workers = workers
        self._queues = queues
        self._depths = depths
        self._display = display
        self._changed = asyncio.Condition()
        #: So that no count is followed by an older one.
        self._counting = asyncio.Lock()
        self._rates = {worker.name: Rate() for worker in workers}

    async def run(self) -> None:
        """Look until cancelled. Raises PenstockError where a worker has ended, and LinkError without the broker."""
        await beside(asyncio.create_task(self._count_on(), name="count"), self._look_on())

    async def until(self, condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """Wait until the condition holds; return the snapshot of that moment.

        Raises PenstockError, naming `what` was awaited, when nothing has moved for PATIENCE seconds.
        """
        movement, since = self.snapshot.movement, time.monotonic()
        async with self._changed:
            while not condition(self.snapshot):
                if self.snapshot.movement != movement:
                    movement, since = self.snapshot.movement, time.monotonic()
                elif time.monotonic() - since > PATIENCE:
                    raise PenstockError(f"{what} did not come about: nothing has moved for {PATIENCE:.0f} s")
                await self._changed.wait()
        return self.snapshot

    def published(self, count: int) -> None:
        """Take note of how many messages are confirmed."""
        self.snapshot = replace(self.snapshot, published=count)

    def outage(self, *, begins: bool) -> None:
        """Take note that PostgreSQL was stopped, or started again."""
        self.snapshot = replace(self.snapshot, outage=begins)

    async def count_rows(self) -> Mapping[str, int]:
        """Ask how many rows each table has. Raises SinkError."""
        async with self._counting:
            rows = await self._demo.rows(self._settings)
            self.snapshot = replace(self.snapshot, rows=sum(rows.values()))
        return rows

    async def count_graph(self) -> Graph:
        """Ask how many nodes and edges there are. Raises SinkError."""
        async with self._counting:
            graph = await self._demo.graph(self._settings)
            nodes, edges = sum(graph.nodes.values()), sum(graph.edges.values())
            self.snapshot = replace(self.snapshot, nodes=nodes, edges=edges)
        return graph

    async def _look_on(self) -> None:
        while True:
            await self._look()
            await asyncio.sleep(LOOK_INTERVAL)

    async def _look(self) -> None:
        looks = await asyncio.gather(*(worker.look() for worker in self._workers))
        depths = await self._depths(self._queues.values())
        states = []
        for before, look in zip(self.snapshot.workers, looks, strict=True):
            now = look or before.look
            rate = self._rates[before.name].of(now.done, time.monotonic())
            states.append(WorkerState(before.name, now, depths[self._queues[before.name]], rate))
        self.snapshot = replace(self.snapshot, workers=tuple(states))
        self._display.show(self.snapshot)
        async with self._changed:
            self._changed.notify_all()

    async def _count_on(self) -> None:
        while True:
            start = time.monotonic()
            # While a store is away, what it held last is shown.
            for count in (self.count_rows, self.count_graph):
                with suppress(SinkError):
                    await count()
            await asyncio.sleep(max(COUNT_INTERVAL, COUNT_SHARE * (time.monotonic() - start)))
