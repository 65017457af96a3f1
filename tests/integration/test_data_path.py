"""How long the way of one record is: the functions it enters, and the frames on the stack when the sink is called."""

from __future__ import annotations

import asyncio
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, SecretStr

import penstock
from penstock.batch_size import LONGEST_WAIT
from penstock.process import WorkerProcess
from penstock.settings import Http, RabbitMQ, Settings
from penstock.sink import Endpoint
from penstock.testing import MemorySink
from penstock.worker import Binding, Worker
from support import broker
from support.clock import WatchedClock

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import CodeType, FrameType

    from penstock.outcome import Outcome
    from penstock.record import Batch

SOURCE = str(Path(penstock.__file__).parent)


class Note(BaseModel):
    id: int
    version: int | None = None


class Watch:
    """Notes each Penstock function entered, from the first delivery to the sink."""

    def __init__(self) -> None:
        self.entered: dict[CodeType, None] = {}
        self.stack: list[str] = []
        self._on = False

    def __call__(self, frame: FrameType, event: str, _argument: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(SOURCE) and not code.co_filename.endswith("testing.py"):
            self._on = self._on or code.co_qualname == "Link._received"
            if self._on:
                self.entered[code] = None

    def arrived(self) -> None:
        """The sink was called: look at the stack and stop."""
        sys.setprofile(None)
        frame = inspect.currentframe()
        while frame is not None:
            if frame.f_code.co_filename.startswith(SOURCE):
                self.stack.append(frame.f_code.co_qualname)
            frame = frame.f_back


async def test_one_record_enters_few_functions(broker_url: str) -> None:
    watch = Watch()
    written = asyncio.Event()

    class Sink(MemorySink):
        async def write(self, batch: Batch) -> Sequence[Outcome]:
            watch.arrived()
            written.set()
            return await super().write(batch)

    worker = Worker(
        name="notes",
        model=Note,
        natural_key=lambda note: note.id,
        mapping=lambda note: {"id": note.id},
        sink=lambda _worker, _settings: Sink(),
        endpoints=lambda _settings: [Endpoint("memory", "")],
        bindings=(Binding("notes"),),
    )
    settings = Settings(rabbitmq=RabbitMQ(url=SecretStr(broker_url)), http=Http(port=0))
    clock = WatchedClock()
    process = WorkerProcess(worker, settings, clock)
    running = asyncio.create_task(process.run(give_up=True))
    try:
        async with asyncio.timeout(20):
            while not process.link.consuming:  # noqa: ASYNC110 the link tells nobody
                await asyncio.sleep(0.01)
        clock.ahead = 2 * LONGEST_WAIT
        sys.setprofile(watch)
        async with asyncio.timeout(20):
            await broker.publish(broker_url, "notes", [("any", {"id": 1})])
            await written.wait()
            await process.consumer.stop()
            await running
    finally:
        sys.setprofile(None)
        await process.close()
    names = [code.co_qualname for code in watch.entered]
    assert "Codec.decode" in names
    assert len(names) <= 12, names
    # Consumer.run → Writer.write → Target.write → sink.write, which is no function of Penstock's here.
    assert watch.stack[0] == "Target.write"
    assert len(watch.stack) <= 3, watch.stack
