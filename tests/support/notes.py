"""A worker with a sink in memory, run within the test's own process."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

from penstock.clock import SystemClock
from penstock.process import WorkerProcess
from penstock.settings import BatchSettings, BreakerSettings, RabbitMQ, RetrySettings, Settings
from penstock.sink import Endpoint
from penstock.testing import MemorySink
from penstock.topology import topology_of
from penstock.worker import Binding, Worker
from support import broker
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence

    from penstock.clock import Clock
    from penstock.outcome import Outcome
    from penstock.record import Batch

#: More writes than any test makes.
FOR_EVER = 100_000


class Note(BaseModel):
    id: int
    text: str = ""
    version: int | None = None


class GatedSink(MemorySink):
    """A sink in memory whose writes can be held up. `entered` counts the writes that were begun."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = 0
        self._turns = asyncio.Semaphore(FOR_EVER)

    def hold(self) -> None:
        """From now on no write gets through."""
        self._turns = asyncio.Semaphore(0)

    def let(self, writes: int = FOR_EVER) -> None:
        """Let so many writes through; all of them where none is said."""
        for _ in range(writes):
            self._turns.release()

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        self.entered += 1
        await self._turns.acquire()
        return await super().write(batch)

    @property
    def ids(self) -> list[int]:
        """The ids of all records of all batches, in order."""
        return [record.row["id"] for batch in self.batches for record in batch.records]


def notes_worker(sink: MemorySink, name: str = "notes") -> Worker:
    """Takes all of the exchange `notes`."""
    return Worker(
        name=name,
        model=Note,
        natural_key=lambda note: note.id,
        mapping=lambda note: {"id": note.id, "text": note.text},
        sink=lambda _worker, _settings: sink,
        endpoints=lambda _settings: [Endpoint("memory", "")],
        bindings=(Binding(name),),
    )


def quick(url: str, *, fast_receive: bool = True, **sections: Any) -> Settings:
    """Settings with small batches and short waits; a section may be given whole."""
    sections.setdefault("batch", BatchSettings(count=10, period=0.05))
    sections.setdefault("breaker", BreakerSettings(failures=1, probe_min=0.05, probe_max=0.1))
    sections.setdefault("retry", RetrySettings(min=0.05, max=0.2))
    return Settings(rabbitmq=RabbitMQ(url=SecretStr(url), fast_receive=fast_receive), **sections)


@dataclass
class Running:
    """A worker under way, and what a test wants of it."""

    name: str
    url: str
    sink: GatedSink
    process: WorkerProcess
    task: asyncio.Task[None]

    async def until(self, condition: Callable[[], bool], what: str, seconds: float = 20) -> None:
        """Wait for a condition; fails at once where the worker has died."""
        await until(lambda: condition() or self.task.done(), what, seconds)
        if self.task.done():
            self.task.result()

    async def publish(self, numbers: Iterable[int], **headers: Any) -> None:
        """Publish a note for each number, confirmed."""
        await broker.publish(self.url, self.name, [("any", {"id": number}) for number in numbers], **headers)

    async def consuming(self, generation: int = 1) -> None:
        """Wait until it consumes, on that generation or a later one."""
        link = self.process.link
        await self.until(lambda: link.consuming and link.generation >= generation, f"consuming {generation}", 40)

    async def settled(self, count: int, seconds: float = 20) -> None:
        """Wait until so many records have an outcome and nothing is held."""
        await self.until(
            lambda: self.metric("penstock_outcomes_total") >= count and not self.process.link.held,
            f"{count} outcomes, nothing held",
            seconds,
        )

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's samples with these labels; 0 where there is none."""
        return sum(
            sample.value
            for family in self.process.metrics.registry.collect()
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    async def stop(self) -> None:
        """Drain it, which must not take long."""
        async with asyncio.timeout(10):
            await self.process.consumer.stop()
            await self.task


@asynccontextmanager
async def running(
    url: str, settings: Settings | None = None, *, clock: Clock | None = None, name: str = "notes"
) -> AsyncIterator[Running]:
    """Start the worker on a broker and wait until it consumes; ends it at the end."""
    async with starting(url, settings, clock=clock, name=name) as worker:
        await worker.consuming()
        yield worker


@asynccontextmanager
async def starting(
    url: str, settings: Settings | None = None, *, clock: Clock | None = None, name: str = "notes"
) -> AsyncIterator[Running]:
    """Start the worker, and do not wait for anything."""
    sink = GatedSink()
    process = WorkerProcess(notes_worker(sink, name), settings or quick(url), clock or SystemClock())
    task = asyncio.create_task(process.run(give_up=True))
    try:
        yield Running(name, url, sink, process, task)
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await process.close()


async def declare(url: str, arguments: Mapping[str, str | int] | None = None, name: str = "notes") -> None:
    """The worker's exchange and queues, made by somebody else; `arguments` are the work queue's, beside its type."""
    for queue in topology_of(notes_worker(GatedSink(), name), Settings()).others:
        await broker.declare_queue(url, queue.name, "unused", queue.arguments)
    await broker.declare_queue(url, name, name, {"x-queue-type": "quorum", **(arguments or {})})
