"""The spill: while every endpoint of the sink is down, records go to this machine's disk and not back to the queue.

    clear      it is empty                                 a batch is written to the sink
    filling    it holds records, and the sink is down      a batch goes behind what is there
    draining   it holds records, and the sink answers      a batch waits: older records are written first

It has the methods of the writer that it stands before. A batch is Spilled once it is on the disk. Where the spill is
full or its disk fails, the outage is what it would be without it: nothing is settled, the batch is held.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Literal

import structlog

from penstock.errors import (
    FuseBlown,
    JournalDamaged,
    JournalError,
    JournalFull,
    LinkError,
    PenstockError,
    SinkUnavailable,
    SpillFirst,
)
from penstock.journal_bounds import Usage
from penstock.kept import message_of
from penstock.outcome import SPILLED
from penstock.spill_drain import publish_page
from penstock.spill_store import State, open_left, open_store
from penstock.waiting import first, until

if TYPE_CHECKING:
    from collections.abc import Sequence

    from penstock.clock import Clock
    from penstock.outcome import Outcome, Poison
    from penstock.publish_link import PublishLink
    from penstock.record import Record
    from penstock.settings import Settings
    from penstock.spill_drain import SpillDrain
    from penstock.spill_store import SpillStore
    from penstock.worker import Worker

log = structlog.get_logger(__name__)

Phase = Literal["clear", "filling", "draining"]


class Spill:
    """Stands between the consumer and the writer of a worker. `run` drains it, beside the consumer."""

    def __init__(self, worker: Worker, drain: SpillDrain, settings: Settings, clock: Clock) -> None:
        self.settings = settings
        self.phase: Phase = "clear"
        #: Where it is stays as it was at the start.
        self._place = settings.spill
        #: What keeps records from going in or out, beside the sink's outage; empty where nothing does.
        self._trouble = ""
        self._worker = worker
        self._drain = drain
        self._clock = clock
        self._metrics = drain.metrics
        self._store: SpillStore | None = None
        self._outage = SinkUnavailable("the sink was down when this worker ended the last time")
        self._ending = False
        self._reloaded = asyncio.Event()
        #: Changes of the phase so far; which of them was the last when a batch was last refused.
        self._turns = 0
        self._refused_in = -1
        #: Why it was refused: time alone may mend that.
        self._disk_failed = False
        self._turned = asyncio.Event()

    # The writer's methods.

    async def write(self, records: Sequence[Record], refused: Sequence[Poison] = ()) -> Sequence[Outcome]:
        """Write the records of a batch, or spill them. One outcome per record, in order.

        Raises what Writer.write raises: SinkUnavailable also while the spill takes nothing, FuseBlown; then nothing is
        to be settled. Raises SpillFirst while older records are written.
        """
        match self.phase:
            case "clear":
                try:
                    outcomes = await self._drain.writer.write(records, refused)
                except SinkUnavailable as outage:
                    self._outage = outage
                else:
                    self._trouble = ""
                    return outcomes
            case "filling":
                if refused:
                    self._drain.fuse.check(len(refused), len(records) + len(refused), refused[-1])
            case "draining":
                self._refused_in = self._turns
                raise SpillFirst(self.trouble or "the records in the spill are older: they are written first")
        if self._ending:
            # It goes back to the queue, where it keeps its place.
            self._refused_in = self._turns
            raise self._outage
        if records:
            await self._keep(records)
        return [SPILLED] * len(records)

    async def recover(self) -> None:
        """Wait until a write is worth trying."""
        if self._disk_failed:
            # Nobody tells when there is space again.
            await first(self._ready(), self._clock.sleep(self._probe_seconds()))
        else:
            await self._ready()

    async def _ready(self) -> None:
        if self.phase == "clear":
            await self._drain.writer.recover()
            return
        while self.phase == "draining" or self._turns == self._refused_in:
            await self._turned.wait()

    async def _keep(self, records: Sequence[Record]) -> None:
        """Have records on the disk. Raises SinkUnavailable where it does not take them."""
        try:
            await self._opened.append([message_of(record) for record in records])
        except JournalError as error:
            self._refused_in = self._turns
            self._disk_failed = not isinstance(error, JournalFull)
            self._trouble = str(error)
            log.error("spill_refuses", error=str(error), records=len(records))  # noqa: TRY400 the journal says it all
            raise SinkUnavailable(f"{error} (and the sink: {self._outage})") from error
        self._disk_failed = False
        self._trouble = ""
        self._metrics.spilled.inc(len(records))
        if self.phase == "clear":
            self._become("filling")

    # The drainer.

    async def run(self) -> None:
        """Write what is in the spill, in order, whenever the sink answers. Runs until cancelled."""
        while True:
            while self.phase == "clear":
                await self._turned.wait()
            await self._drain.writer.recover()
            self._become("draining")
            try:
                await self._empty()
            except SinkUnavailable as outage:
                self._outage = outage
                self._become("filling")
            except FuseBlown as error:
                self._metrics.fuse_blown.set(1)
                await self._pause(error)
                self._metrics.fuse_blown.set(0)
            except JournalDamaged as error:
                await self._pause(error)
                await self._reopen()
            except JournalError as error:
                await self._pause(error)

    async def _empty(self) -> None:
        while not self._opened.empty or await self._take_over():
            await self._drain.page(self._opened)
            self._trouble = ""
        self._become("clear")

    async def _take_over(self) -> bool:
        """Go on with what a replica has left that is no more, if one has."""
        try:
            left = await open_left(self._place, self._worker.name, self._clock)
        except PenstockError as error:
            # It must not keep this worker from its own work.
            log.warning("spill_not_taken_over", error=str(error))
            return False
        if left is None:
            return False
        before, self._store = self._opened, left
        await before.close()
        log.warning("spill_taken_over", file=str(left.path), records=left.state.pending.records)
        return True

    async def _pause(self, error: PenstockError) -> None:
        """Wait before the next page: time may mend it, or new settings."""
        self._trouble = str(error)
        log.error("spill_waits", error=str(error), records=self._opened.state.pending.records)
        self._reloaded.clear()
        await until(self._reloaded, self._clock, self._probe_seconds())

    async def _reopen(self) -> None:
        """Look through the file as at the start: what cannot be read any more is kept aside."""
        await self._opened.close()
        self._store = await open_store(self._place, self._worker.name, self._clock)

    # The process.

    async def open(self) -> None:
        """Take a file, with what an earlier process left in it. Raises SettingsError, JournalError."""
        self._store = await open_store(self._place, self._worker.name, self._clock)
        state = self._store.state
        self._metrics.spill(self)
        log.info("spill_open", file=str(self._store.path), records=state.pending.records)
        if not self._store.empty:
            self._become("filling")

    def sink_is_down(self, outage: SinkUnavailable) -> None:
        """Fill from the first batch on: the sink did not answer at the start."""
        self._outage = outage
        self._become("filling")

    def stop(self) -> None:
        """Take nothing more; what is in it can still be drained."""
        self._ending = True

    async def drained(self, seconds: float) -> None:
        """Return once it is empty, cannot be drained now, or the seconds are over."""
        try:
            async with asyncio.timeout(seconds):
                while self.phase == "draining" and not self.trouble:
                    await self._turned.wait()
        except TimeoutError:
            log.info("spill_not_drained", records=self._opened.state.pending.records)

    async def publish_back(self, publisher: PublishLink) -> None:
        """Publish what is left back to the worker's queue. What is not confirmed stays for the next start."""
        store, published = self._opened, 0
        try:
            while not store.empty:
                published += await publish_page(store, publisher, self._worker.queue, self.settings.batch.byte_size)
        except (LinkError, JournalError) as error:
            log.warning("spill_not_published_back", error=str(error))
        finally:
            if published:
                log.info("spill_published_back", records=published, queue=self._worker.queue)

    async def close(self) -> None:
        """Give the file back; says how much stays in it."""
        store, self._store = self._store, None
        if store is None:
            return
        left = store.state.pending.records
        await store.close()
        if left:
            log.warning("spill_left", records=left, file=str(store.path))

    def reload(self, settings: Settings) -> None:
        """Take new settings, but for the spill's own; a blown fuse is tried again at once."""
        self.settings = settings
        self._drain.settings = settings
        self._reloaded.set()

    # What others see.

    @property
    def trouble(self) -> str:
        """What keeps records from going in or out, beside the sink's outage; empty where nothing does."""
        return self._trouble or self._drain.trouble

    @property
    def state(self) -> State:
        """What is in it, as of the last commit; nothing while no file is open."""
        return self._store.state if self._store else State(Usage(), Usage(), None)

    @property
    def empty(self) -> bool:
        """Whether no record waits."""
        return self._store is None or self._store.empty

    def health(self) -> dict[str, Any]:
        """For /health. Times in seconds, sizes in bytes."""
        state = self.state
        return {
            "state": self.phase,
            "file": str(self._store.path) if self._store else None,
            "records": state.pending.records,
            "bytes": state.pending.byte_size,
            "oldest_age_seconds": round(self.oldest_age, 3),
            "damaged": state.damaged.records,
            "trouble": self.trouble or None,
        }

    @property
    def oldest_age(self) -> float:
        """Seconds that the oldest record waits; 0 where none does."""
        oldest = self.state.oldest
        return max(0.0, self._clock.now() - oldest) if oldest is not None else 0.0

    @property
    def _opened(self) -> SpillStore:
        assert self._store is not None, "the spill is not open"  # noqa: S101 a caller's error
        return self._store

    def _become(self, phase: Phase) -> None:
        if phase == self.phase:
            return
        before, self.phase = self.phase, phase
        self._turns += 1
        self._turned.set()
        self._turned = asyncio.Event()
        records = self._opened.state.pending.records
        if phase == "filling":
            log.warning("spill_changed", before=before, state=phase, records=records, error=str(self._outage))
        else:
            log.info("spill_changed", before=before, state=phase, records=records)

    def _probe_seconds(self) -> float:
        breaker = self.settings.breaker
        return self._clock.uniform(breaker.probe_min, max(breaker.probe_min, breaker.probe_max))
