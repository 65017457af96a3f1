"""One worker process: builds the data path, starts and stops it, answers for its health."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import structlog

from penstock.batch import Buffer
from penstock.blockage import Blockage
from penstock.codec import Codec
from penstock.consumer import Consumer
from penstock.deadletter.sender import DeadLetters
from penstock.endpoints import make_failover
from penstock.errors import SinkUnavailable
from penstock.fuse import Fuse
from penstock.handover import Handover
from penstock.ladder import ladder_of
from penstock.link import Link
from penstock.metrics import Metrics
from penstock.publish_link import PublishLink
from penstock.retry import until_it_works
from penstock.retry_later import RetryQueues
from penstock.settlement import Settler
from penstock.spill import Spill
from penstock.spill_drain import SpillDrain
from penstock.suspects import Suspects
from penstock.waiting import beside, unless_ended
from penstock.writer import Writer

if TYPE_CHECKING:
    from penstock.clock import Clock
    from penstock.settings import Settings
    from penstock.worker import Worker

log = structlog.get_logger(__name__)

#: Seconds of the drain limit that are kept for closing channels and pools.
CLOSING_SECONDS = 5.0
#: What is in the way until broker and sink have answered.
STARTING = "starting: waiting for the broker and the sink"
#: Seconds between two looks at an idle queue with --drain.
DRAIN_LOOK = 0.2


class WorkerProcess:
    """The data path of one worker, and its state as others see it."""

    def __init__(self, worker: Worker, settings: Settings, clock: Clock) -> None:
        self.worker = worker
        self.settings = settings
        self.metrics = Metrics(worker.name)
        self.stopping = asyncio.Event()
        self._clock = clock
        self._fuse = Fuse(settings.fuse)
        self._codec = Codec(worker, settings.limits)
        self.link = Link(worker, settings, Buffer(clock), clock, self.metrics)
        self._publisher = PublishLink(settings.rabbitmq, worker.name, Blockage(self._blocked, "wait"))
        letters = DeadLetters(worker, self._publisher)
        handover = Handover(letters, RetryQueues(worker, self._publisher, clock), self.metrics)
        self.failover = make_failover(
            worker, settings, codec=self._codec, handover=handover, clock=clock, metrics=self.metrics
        )
        self.metrics.oldest_age(lambda: self._oldest_age(self._clock.now()))
        self.metrics.pools([target.pools for target in self.failover.targets])
        self.suspects = Suspects(worker, settings, self._publisher, self.metrics)
        self._ladder = ladder_of(worker, settings.retry)
        self.writer = Writer(
            self.failover,
            worker.mode,
            settings,
            fuse=self._fuse,
            clock=clock,
            ladder=self._ladder,
            survived=self.suspects.survived,
        )
        settler = Settler(self.link, handover, self.suspects, self.metrics)
        self.spill_drain = SpillDrain(
            self._codec,
            self.writer,
            settler,
            fuse=self._fuse,
            settings=settings,
            clock=clock,
            metrics=self.metrics,
        )
        self.spill = Spill(worker, self.spill_drain, settings, clock) if settings.spill.path else None
        self.consumer = Consumer(
            self._codec,
            self.link,
            self.spill or self.writer,
            settler,
            fuse=self._fuse,
            settings=settings,
            clock=clock,
            metrics=self.metrics,
        )

    async def run(self, *, give_up: bool) -> None:
        """Wait for the broker and the sink (see `until_it_works`), then carry messages until drained.

        Raises LinkError, TopologyError, SinkUnavailable from the start; whatever dies later ends the process.
        """
        self.consumer.trouble = STARTING
        self.link.paused_for.add("starting")
        if self.spill is not None:
            await self.spill.open()
        await self.link.start(give_up=give_up)
        async with beside(self.link.run(), "link") as link:
            await unless_ended(link, self._open_sink(give_up=give_up))
            self.consumer.trouble = ""
            await self.link.resume("starting")
            async with beside(self.failover.run(), "failover") as failover:
                carrying = self.consumer.run() if self.spill is None else self._carry(self.spill)
                await unless_ended(failover, unless_ended(link, carrying))

    async def _carry(self, spill: Spill) -> None:
        """Carry messages until stopped; what is in the spill then is written while there is time, or published back."""
        async with beside(spill.run(), "spill") as draining:
            await unless_ended(draining, self.consumer.run())
            await unless_ended(draining, spill.drained(self.settings.limits.drain_seconds / 2))
        await spill.publish_back(self._publisher)

    async def _open_sink(self, *, give_up: bool) -> None:
        """Open the sink; with a spill, do without while it does not answer, unless told to give up."""
        if self.spill is not None and not give_up:
            try:
                await self.failover.open()
            except SinkUnavailable as outage:
                for target in self.failover.targets:
                    target.breaker.trip(outage)
                self.spill.sink_is_down(outage)
            return
        await self.open_sink(give_up=give_up)

    async def open_sink(self, *, give_up: bool) -> None:
        """Open the sink, as `until_it_works` has it. Raises SinkUnavailable if told to give up."""
        await until_it_works(
            self.failover.open,
            what=f"sink {', '.join(target.name for target in self.failover.targets)}",
            errors=SinkUnavailable,
            settings=self.settings.retry,
            clock=self._clock,
            give_up=give_up,
        )

    async def until_empty(self) -> None:
        """Return when the queue is empty and everything received is settled (`--drain`)."""
        while True:
            await self._clock.sleep(DRAIN_LOOK)
            if not await self._quiet():
                continue
            # What is under way arrives before the cancel is answered, so look again after it.
            await self.link.pause("drain")
            if await self._quiet():
                return
            await self.link.resume("drain")

    async def _quiet(self) -> bool:
        if not self.link.connected or self.link.held or self.link.owed or self.consumer.trouble:
            return False
        if self.spill is not None and not self.spill.empty:
            return False
        return await self.link.look() is not None and self.link.depth == 0 and not self.link.held

    async def close(self) -> None:
        """Give everything back; deliveries that are not settled go back to the queue."""
        if self.spill is not None:
            await self.spill.close()
        await self.suspects.close()
        await self.link.stop()
        await self._publisher.close()
        await self.failover.close()

    def reload(self, settings: Settings) -> None:
        """Take new settings where that is safe while running: batch, prefetch, retry, breaker, fuse, limits."""
        self.settings = settings
        self.writer.settings = settings
        self.failover.reload(settings)
        self.link.settings = settings
        self._fuse.settings = settings.fuse
        self._codec.limits = settings.limits
        if self._ladder is not None:
            self._ladder.max_attempts = settings.retry.max_attempts
        if self.spill is not None:
            self.spill.reload(settings)
        self.consumer.reload(settings)

    # What others see.

    def ready(self) -> str | None:
        """None while the worker can do its work, else why it cannot."""
        if self.stopping.is_set():
            return "draining"
        if self.spill is not None and self.spill.trouble:
            return self.spill.trouble
        # While older records are written first, the worker does its work.
        if self.consumer.trouble and self.link.paused_for != {"spill"}:
            return self.consumer.trouble
        return None if self.link.consuming or self.link.paused_for else "the broker is away"

    def health(self) -> dict[str, Any]:
        """The state of every part, as JSON can say it. Times in seconds."""
        now = self._clock.now()
        active, *others = self.failover.health(now)
        reason = self.ready()
        return {
            "status": "ok" if reason is None else "waiting",
            "reason": reason,
            "worker": self.worker.name,
            "broker": {
                "connected": self.link.connected,
                "consuming": self.link.consuming,
                "host": self.link.place or None,
                "blocked": self._publisher.blockage.reason or None,
                "paused_for": sorted(self.link.paused_for),
                "throttled": self.link.throttled,
                "generation": self.link.generation,
                "prefetch": self.link.prefetch,
                "held_messages": self.link.held,
            },
            "queue": {
                "name": self.worker.queue,
                "depth": self.link.depth,
                "oldest_message_age_seconds": self._oldest_age(now),
            },
            "sink": {
                "endpoint": active["name"],
                "last_write_seconds_ago": active["last_write_seconds_ago"],
                "batch_count": self.settings.batch.count,
            },
            **{key: active[key] for key in ("breaker", "outages", "pool", "server")},
            "endpoints": [active, *others],
            "spill": None if self.spill is None else self.spill.health(),
        }

    def _blocked(self, reason: str) -> None:
        self.metrics.broker_blocked.set(int(bool(reason)))
        if reason:
            log.warning("broker_blocked", reason=reason)
        else:
            log.warning("broker_unblocked")

    def _oldest_age(self, now: float) -> float | None:
        """Seconds since the oldest delivery held was published, if its publisher said when."""
        oldest = self.consumer.held[0] if self.consumer.held else self.link.buffer.oldest
        published = oldest.properties.timestamp if oldest is not None else None
        return None if published is None else round(max(0.0, now - published.timestamp()), 3)
