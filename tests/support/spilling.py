"""A spill between a sink in memory and the test, who is the consumer; its journal is on a real disk."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel

from penstock.codec import Codec
from penstock.endpoints import make_failover
from penstock.errors import LinkError, SinkUnavailable
from penstock.fuse import Fuse
from penstock.ladder import ladder_of
from penstock.metrics import Metrics
from penstock.outcome import Poison
from penstock.record import Record
from penstock.settings import BatchSettings, BreakerSettings, FuseSettings, RetrySettings, Settings, SpillSettings
from penstock.settlement import Settler
from penstock.sink import Endpoint
from penstock.spill import Spill
from penstock.spill_drain import SpillDrain
from penstock.testing import MemorySink, make_delivery
from penstock.worker import Worker
from penstock.writer import Writer
from support.clock import SteppedClock
from support.handing import Retries, handover, suspects_of
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping, Sequence
    from pathlib import Path

    from pamqp.commands import Basic

    from penstock.delivery import Delivery
    from penstock.link import Link
    from penstock.outcome import Outcome, Refusal
    from penstock.publish_link import PublishLink
    from penstock.worker import Mode

AWAY = SinkUnavailable("the sink is away")
#: Seconds between two probes.
PROBE = 5.0


class Event(BaseModel):
    id: int
    name: str = "a"
    version: int | None = None


def event_worker(sink: MemorySink, name: str = "events", model: Any = Event) -> Worker:
    """Its natural key is the event's name, its key the event's id."""
    return Worker(
        name=name,
        model=model,
        natural_key=lambda event: event.name,
        mapping=lambda event: {"id": event.id, "name": event.name},
        key_fields=("id",),
        sink=lambda _worker, _settings: sink,
        endpoints=lambda _settings: [Endpoint("memory", "")],
        mode=sink.mode,
    )


def settings_for(folder: Path, **sections: Any) -> Settings:
    """Batches of three; a probe every PROBE seconds. `spill` is more of that section."""
    spill: Mapping[str, Any] = sections.pop("spill", {})
    sections.setdefault("fuse", FuseSettings(percent=100))
    sections.setdefault("retry", RetrySettings(min=1, max=1, jitter=0, max_attempts=1, write_timeout=3600))
    return Settings(
        batch=BatchSettings(count=3, period=0),
        breaker=BreakerSettings(failures=1, probe_min=PROBE, probe_max=PROBE),
        spill=SpillSettings(path=str(folder), **spill),
        **sections,
    )


class Letters:
    """A DLQ that can be away."""

    def __init__(self) -> None:
        self.away = False
        self.taken: list[bytes] = []
        self.keys: list[str | None] = []

    async def publish(self, delivery: Delivery, _refusal: Refusal, key: str | None, _at: float) -> None:
        if self.away:
            raise LinkError("the broker is away")
        self.taken.append(delivery.body)
        self.keys.append(key)


class Queue:
    """A work queue that takes so many messages."""

    def __init__(self, takes: int = 1_000_000) -> None:
        self.takes = takes
        self.bodies: list[bytes] = []

    async def publish(self, exchange: str, routing_key: str, body: bytes, properties: Basic.Properties) -> None:
        await asyncio.sleep(0)
        assert (exchange, routing_key, properties.delivery_mode) == ("", "events", 2)
        assert properties.headers
        assert "penstock-key" in properties.headers
        if self.takes <= 0:
            raise LinkError("the broker is away")
        self.takes -= 1
        self.bodies.append(body)

    @property
    def link(self) -> PublishLink:
        """As the code under test takes it."""
        return cast("PublishLink", self)


class Bench:
    """A spill and all that is around it; `running` opens it and has its drainer run."""

    def __init__(
        self,
        folder: Path,
        sink: MemorySink | None = None,
        *,
        mode: Mode = "append",
        clock: SteppedClock | None = None,
        model: Any = Event,
        **sections: Any,
    ) -> None:
        self.sink = sink or MemorySink(mode)
        self.clock = clock or SteppedClock()
        self.settings = settings_for(folder, **sections)
        self.metrics = Metrics("events")
        self.letters = Letters()
        self.fuse = Fuse(self.settings.fuse)
        worker = event_worker(self.sink, model=model)
        self.retries = Retries()
        leaving = handover(self.letters, self.retries, self.metrics)
        self.codec = Codec(worker, self.settings.limits)
        self.failover = make_failover(
            worker, self.settings, codec=self.codec, handover=leaving, clock=self.clock, metrics=self.metrics
        )
        ladder = ladder_of(worker, self.settings.retry)
        writer = Writer(self.failover, worker.mode, self.settings, fuse=self.fuse, clock=self.clock, ladder=ladder)
        suspects = suspects_of(worker, self.settings, self.metrics)
        settler = Settler(cast("Link", None), leaving, suspects, self.metrics)
        drain = SpillDrain(
            self.codec,
            writer,
            settler,
            fuse=self.fuse,
            settings=self.settings,
            clock=self.clock,
            metrics=self.metrics,
        )
        self.spill = Spill(worker, drain, self.settings, self.clock)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Open it, with the sink open or away, and drain it beside; at the end it is closed."""
        await self.spill.open()
        await self.open_sink()
        task = asyncio.create_task(self.spill.run())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await self.spill.close()

    async def open_sink(self) -> None:
        """As the process does at its start."""
        try:
            await self.failover.open()
        except SinkUnavailable as outage:
            for target in self.failover.targets:
                target.breaker.trip(outage)
            self.spill.sink_is_down(outage)

    async def write(self, *ids: int, name: str = "a") -> Sequence[Outcome]:
        """Write a batch of these events."""
        return await self.write_bodies(*(b'{"id": %d, "name": "%s"}' % (one, name.encode()) for one in ids))

    async def write_bodies(self, *bodies: bytes) -> Sequence[Outcome]:
        """Write a batch as the consumer does."""
        decoded = [self.codec.decode(make_delivery(body, routing_key="event")) for body in bodies]
        records = [one for one in decoded if isinstance(one, Record)]
        return await self.spill.write(records, [one for one in decoded if isinstance(one, Poison)])

    def down(self) -> None:
        self.sink.outage = AWAY

    def up(self) -> None:
        """The sink answers; the next probe is due."""
        self.sink.outage = None
        self.clock.advance(PROBE)

    async def until(self, condition: Callable[[], bool], what: str) -> None:
        await until(condition, f"{what}; {self.spill.health()}", 5)

    async def drained(self) -> None:
        """Wait until the spill is empty."""
        await self.until(lambda: self.spill.phase == "clear", "it is drained")

    @property
    def ids(self) -> list[int]:
        """What the sink holds, in the order it came."""
        return [record.row["id"] for batch in self.sink.batches for record in batch.records]

    def metric(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(f"penstock_{name}", {"worker": "events"}) or 0.0
