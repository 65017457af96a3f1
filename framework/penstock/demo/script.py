"""The acts of a demo, in order. Read this file first."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.demo.queues import asking_queues
from penstock.demo.report import Tally, check_first, check_second
from penstock.demo.tasks import beside
from penstock.demo.watch import Watch
from penstock.settings import load
from penstock.topology import topology_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from penstock.broker import TopologyMode
    from penstock.demo.declaration import Demo, Query
    from penstock.demo.progress import Display
    from penstock.demo.publishing import Input, Pass
    from penstock.demo.queues import Depths
    from penstock.demo.stage import Stage
    from penstock.settings import Settings
    from penstock.topology import Topology
    from penstock.worker import Worker

#: How long PostgreSQL is away, in seconds.
OUTAGE_SECONDS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """What a demo that kept its promises found, and the answers to its queries."""

    tally: Tally
    answers: Sequence[tuple[Query, Sequence[Sequence[object]]]]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Script:
    """What is played: the demo with its two workers, its input, and how much of that goes before the outage."""

    demo: Demo
    workers: tuple[Worker, Worker]
    input: Input
    first_part: int
    environ: Mapping[str, str]
    debug: bool
    #: Told the settings as soon as they are known.
    on_settings: Callable[[Settings], None]

    async def play(self, stage: Stage, display: Display) -> Result:
        """Play all acts. Raises PenstockError where a promise is not kept or a server or worker fails."""
        display.say("1/5 starting a broker, a PostgreSQL and a graph: on this machine, and for this demo only")
        await stage.prepare()
        display.say("2/5 starting the workers, each a process of its own")
        names = [worker.name for worker in self.workers]
        settings = load(None, None, await stage.employ(names, self.environ, debug=self.debug))
        self.on_settings(settings)
        queues = {worker.name: worker.queue for worker in self.workers}
        async with asking_queues(settings.rabbitmq) as depths:
            watch = Watch(self.demo, settings, stage.workers, queues, depths, display)
            acts = _Acts(self, settings, stage, watch, depths, display)
            return await beside(asyncio.create_task(watch.run(), name="watch"), acts.play())


class _Acts:
    """The acts on a stage that is set."""

    def __init__(
        self, script: Script, settings: Settings, stage: Stage, watch: Watch, depths: Depths, display: Display
    ) -> None:
        self._script = script
        self._demo = script.demo
        self._settings = settings
        self._stage = stage
        self._watch = watch
        self._depths = depths
        self._say = display.say
        self._topologies: dict[Topology, TopologyMode] = {
            topology_of(worker, settings): settings.queue.topology for worker in script.workers
        }

    async def play(self) -> Result:
        """Publish in two parts with an outage at the second, then all of it again; compare, and ask the queries."""
        messages = self._script.input.begin()
        self._say(f"3/5 publishing the first {self._script.first_part:,} records")
        await self._publish(messages, 0, self._script.first_part)
        await self._settled(messages.total)
        await self._watch.count_rows()
        self._say("4/5 stopping PostgreSQL for five seconds, while the rest is published")
        await self._outage(messages)
        await self._settled(messages.total)
        first = await self._tally(messages)
        check_first(first, self._demo.table_worker)
        stored = f"{sum(first.rows.values()):,} rows, {sum(first.graph.nodes.values()):,} nodes"
        self._say(f"nothing is lost: {stored} and {sum(first.graph.edges.values()):,} edges are in the stores")

        self._say(f"5/5 publishing all {messages.total:,} records a second time: nothing may change")
        again = self._script.input.begin()
        await self._publish(again, messages.total)
        await self._settled(messages.total + again.total)
        second = await self._tally(again)
        check_second(first, second)
        self._say(f"nothing changed: each worker knew all {again.total:,} records again, and wrote none")
        return Result(second, [(query, await query.ask(self._settings)) for query in self._demo.queries])

    async def _publish(self, messages: Pass, before: int, number: int | None = None) -> None:
        def progress(confirmed: int) -> None:
            self._watch.published(before + confirmed)

        await messages.publish(self._settings.rabbitmq, self._topologies, progress, number)

    async def _settled(self, published: int) -> None:
        await self._watch.until(lambda now: now.settled(published), f"the end of all {published:,} messages")

    async def _outage(self, messages: Pass) -> None:
        await self._stage.stop("postgres")
        self._watch.outage(begins=True)
        publishing = asyncio.create_task(self._publish(messages, 0), name="publish")
        await beside(publishing, self._pause_and_recovery(publishing, time.monotonic() + OUTAGE_SECONDS))

    async def _pause_and_recovery(self, publishing: asyncio.Task[None], end: float) -> None:
        """Let the pause be seen, at least until `end` of the monotonic clock, and then the recovery."""
        table, graph = self._demo.table_worker, self._demo.graph_worker

        paused = await self._watch.until(lambda now: bool(now.worker(table).look.paused_for), f"the pause of {table}")
        held = paused.worker(table).look.held
        self._say(f"PostgreSQL is down: {table} pauses and holds {held:,} messages unharmed, {graph} goes on")
        await asyncio.sleep(max(0.0, end - time.monotonic()))
        await self._stage.start("postgres")
        self._watch.outage(begins=False)
        self._say(f"PostgreSQL is up again: the breaker of {table} will find out by its next probe")
        await self._watch.until(lambda now: now.worker(table).look.breaker == "closed", f"the recovery of {table}")
        self._say(f"{table} has recovered by itself: it writes what it held")
        await publishing

    async def _tally(self, messages: Pass) -> Tally:
        letters = [worker.dead_letter_queue for worker in self._script.workers]
        return Tally(
            published=dict(messages.counts),
            rows=await self._watch.count_rows(),
            graph=await self._watch.count_graph(),
            outcomes={worker.name: worker.look.outcomes for worker in self._watch.snapshot.workers},
            dead_letters=await self._depths(letters),
        )
