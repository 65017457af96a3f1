"""The link: keeps one consumer on one queue, through every loss, and lets it be paused.

When its generation ends it opens the next one. What was held is then delivered again; settling it is
counted and never sent.
"""

from __future__ import annotations

import asyncio
import itertools
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog

from penstock.broker import close, connect, ensure_topology, look_at, open_channel
from penstock.caution import Caution
from penstock.errors import LinkError, TopologyError, TopologyMissing
from penstock.generation import Generation
from penstock.quiet import until_quiet
from penstock.retry import backoff, until_it_works
from penstock.topology import topology_of
from penstock.watchdog import Watchdog

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

    from penstock.batch import Buffer
    from penstock.broker import BrokerConnection
    from penstock.clock import Clock
    from penstock.delivery import Delivery
    from penstock.metrics import Metrics, PauseReason
    from penstock.settings import Settings
    from penstock.worker import Worker

log = structlog.get_logger(__name__)

#: The largest prefetch the protocol can say.
LARGEST_PREFETCH = 65_535
#: Why the consumer is cancelled at the end of the process.
STOPPING: Final = "stopping"


class Link:
    """Consumes the queue of a worker into a buffer and acknowledges what was settled."""

    def __init__(self, worker: Worker, settings: Settings, buffer: Buffer, clock: Clock, metrics: Metrics) -> None:
        self.settings = settings
        #: Messages ready in the queue when last asked; None if not known.
        self.depth: int | None = None
        #: "host:port" of the broker that serves, or served last; empty before.
        self.place = ""
        #: Why the consumer is cancelled; it consumes while this is empty.
        self.paused_for: set[str] = set()
        self._worker = worker
        self._topology = topology_of(worker, settings)
        self.buffer = buffer
        self._clock = clock
        self._metrics = metrics
        self._connection: BrokerConnection | None = None
        self._current: Generation | None = None
        self._numbers = itertools.count(1)
        self._switching = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._renewal: asyncio.Task[None] | None = None
        self._caution = Caution()
        self._watchdog = Watchdog(self, self._caution, metrics)
        metrics.pauses(self._is_paused_for)

    @property
    def prefetch(self) -> int:
        """Deliveries the broker may send ahead: never below twice the batch, so that batches can fill."""
        return min(LARGEST_PREFETCH, max(self.settings.queue.prefetch, 2 * self.settings.batch.count))

    @property
    def generation(self) -> int:
        """Number of the channel in use; 0 while there is none."""
        return self._current.number if self._current else 0

    @property
    def owed(self) -> int:
        """Deliveries that the broker will only deliver again once it has missed the heartbeats of a silent link."""
        return self._caution.owed(self._clock.monotonic())

    @property
    def connected(self) -> bool:
        """Whether there is a channel that settlements can be sent on."""
        return self._current is not None and not self._current.ended.is_set()

    @property
    def consuming(self) -> bool:
        """Whether the broker sends deliveries."""
        return self.connected and self._current is not None and self._current.consumer_tag is not None

    @property
    def throttled(self) -> bool:
        """Whether so much is held that nothing is read from the broker."""
        return self._current is not None and self._current.throttle.closed

    def _is_paused_for(self, reason: PauseReason) -> bool:
        return self.throttled if reason == "memory" else reason in self.paused_for

    @property
    def held(self) -> int:
        """Deliveries of this generation that are not settled."""
        return self._current.received - self._current.window.acked if self._current else 0

    def is_current(self, delivery: Delivery) -> bool:
        """Whether a delivery can still be settled."""
        current = self._current
        return current is not None and not current.ended.is_set() and delivery.generation == current.number

    async def lost(self, delivery: Delivery) -> None:
        """Return once a delivery cannot be settled any more."""
        if self._current is not None and self.is_current(delivery):
            await self._current.ended.wait()

    async def start(self, *, give_up: bool) -> None:
        """Open the first generation; see `until_it_works`. Raises TopologyError; if told to give up, also
        TopologyMissing (somebody else may still be making the queue) and LinkError.
        """
        await until_it_works(
            self._open,
            what="rabbitmq",
            errors=(LinkError, TopologyMissing),
            settings=self.settings.retry,
            clock=self._clock,
            give_up=give_up,
        )

    async def run(self) -> None:
        """Look after the generation, and open the next one whenever it has ended. Runs until cancelled."""
        while True:
            if self._current is not None:
                await self._watchdog.look_after(self._current)
                await self._discard(self._current)
            await self._reopen()

    async def _reopen(self) -> None:
        for attempt in itertools.count(1):
            try:
                await self._open()
            except (LinkError, TopologyError) as error:
                seconds = backoff(attempt, self.settings.retry, self._clock)
                log.warning("link_lost", attempt=attempt, next_in_seconds=round(seconds, 1), error=str(error))
                await self._clock.sleep(seconds)
            else:
                return

    async def _open(self) -> None:
        """Connect if need be, see to the topology, open the channel and consume unless paused."""
        if self._connection is None or self._connection.is_closed or self._connection.transport is None:
            await self._drop_connection()
            self._connection = await connect(self.settings.rabbitmq, f"{self._worker.name} consume", self.place)
            self.place = self._connection.place
            self._metrics.connected(self.place)
        try:
            await ensure_topology(self._connection, self._topology, self.settings.queue.topology)
            channel = await open_channel(self._connection, confirms=False)
        except LinkError:
            await self._drop_connection()
            raise
        ours, now = self._connection, self._clock.monotonic()
        generation = Generation(next(self._numbers), channel, now, ours.receiver, ours.throttle)
        channel.closing.add_done_callback(generation.closed)
        channel.on_consumer_cancel_callbacks.add(lambda _: generation.end("the broker cancelled the consumer"))
        self.buffer.clear()
        self._current = generation
        self._metrics.generation.set(generation.number)
        await self._switch()
        if generation.ended.is_set():  # say, there is no such queue: the next try has to wait
            await self._discard(generation)
            raise LinkError(generation.why)
        paused = sorted(self.paused_for)
        log.info("link_open", broker=self.place, generation=generation.number, prefetch=self.prefetch, paused=paused)

    async def _discard(self, generation: Generation) -> None:
        """Forget a generation: what it delivered and nobody has settled is delivered again."""
        log.warning("generation_ended", generation=generation.number, why=generation.why, held=self.held)
        self._caution.ended(generation, self._clock.monotonic(), self.prefetch)
        self._current = None
        self.buffer.clear()
        self.buffer.wake()
        _unread(generation)
        self._metrics.consuming.set(0)
        self._metrics.holds(0, 0)
        if not await close(generation.channel):
            self._caution.unanswered(generation, self._clock.monotonic(), self.settings.rabbitmq.heartbeat)

    async def _drop_connection(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await close(connection)

    # Pause and resume.

    async def pause(self, reason: PauseReason) -> None:
        """Cancel the consumer; what was delivered stays held and can be settled."""
        if reason not in self.paused_for:
            self.paused_for.add(reason)
            self._metrics.paused(reason)
            log.info("consumer_paused", reason=reason)
        await self._switch()

    async def resume(self, reason: PauseReason) -> None:
        """Take a reason to pause away; with the last one gone the consumer comes back."""
        if reason in self.paused_for:
            self.paused_for.discard(reason)
            log.info("consumer_resumed", reason=reason, still=sorted(self.paused_for))
            if self._current is not None:
                self._read_on(self._current)
        await self._switch()

    def renew_consumer(self) -> None:
        """Consume anew, which makes a changed prefetch take effect; once, however often it is asked for meanwhile."""

        async def renew() -> None:
            cancelled = False
            while not cancelled:
                if self._current is not None:
                    await self._current.throttle.opened()
                await self.pause("reload")
                # Throttled meanwhile, it was left as it is.
                cancelled = not self.consuming
                await self.resume("reload")

        if self._renewal is None or self._renewal.done():
            self._renewal = self._spawn(renew())

    async def _switch(self) -> None:
        """Make the consumer what `paused_for` asks. A failure ends the generation, which a new one mends.

        A throttled one stays as it is: nothing comes, and the answer to a cancel would stand behind all that was sent.
        """
        async with self._switching:
            current = self._current
            if current is None or current.ended.is_set():
                return
            try:
                if self.paused_for and current.consumer_tag is not None:
                    is_full = partial(self._is_full, current)
                    if not await until_quiet(current, self._worker.queue, is_full, self._clock):
                        self._throttle(current)
                    if not (current.ended.is_set() or self.throttled):
                        await current.cancel()
                elif not self.paused_for and current.consumer_tag is None:
                    await self._consume(current)
            except LinkError as error:
                current.end(str(error))
            self._metrics.consuming.set(int(self.consuming))

    def _is_full(self, current: Generation) -> bool:
        """Whether the broker may send nothing more, or we read nothing more."""
        return current.outstanding >= self.buffer.ahead or current.throttle.closed

    async def _consume(self, current: Generation) -> None:
        # Prefetch is per consumer; a change takes effect on the next one.
        self.buffer.ahead = 1 if self._caution.singly else self.prefetch
        await current.consume(self._worker.queue, self.buffer.ahead, partial(self._received, current))

    def _received(self, current: Generation, deliveries: Sequence[Delivery]) -> None:
        if current.ended.is_set():
            return
        count, size = len(deliveries), self.buffer.extend(deliveries)
        for delivery in deliveries:
            if delivery.redelivered:
                self._caution.redelivered()
        current.received += count
        current.held_bytes += size
        self._metrics.received.inc(count)
        self._metrics.received_bytes.inc(size)
        self._metrics.held_messages.inc(count)
        self._metrics.held_bytes.inc(size)
        if current.held_bytes > self.settings.limits.held_bytes and not current.throttle.closed:
            self._throttle(current)

    def _throttle(self, current: Generation) -> None:
        """Read nothing more until half of what may be held is settled."""
        current.throttle.close()
        self._metrics.paused("memory")
        log.info("reading_paused", held_bytes=current.held_bytes)

    def _read_on(self, current: Generation) -> None:
        """Open the throttle where that little is held; not at the end of the process, when nothing more is wanted."""
        enough = self.settings.limits.held_bytes / 2
        if current.throttle.closed and current.held_bytes < enough and STOPPING not in self.paused_for:
            current.throttle.open()
            log.info("reading_resumed", held_bytes=current.held_bytes)
            self._spawn(self._switch())

    def _spawn(self, action: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(action)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    # Settling.

    async def acknowledge(self, deliveries: Sequence[Delivery]) -> int:
        """Ack deliveries, the longest settled prefix with multiple=True; returns how many could still be settled.

        Those of a generation that is gone are only counted.
        """
        current = self._current
        mine = [delivery for delivery in deliveries if self.is_current(delivery)]
        self._metrics.stale.inc(len(deliveries) - len(mine))
        if current is None or not mine:
            return 0
        try:
            # Not while the consumer is being cancelled: an ack has the broker send more.
            async with self._switching:
                if current.ended.is_set():
                    self._metrics.stale.inc(len(mine))
                    return 0
                sent = await current.acknowledge(mine)
        except LinkError as error:
            current.end(str(error))
            return 0
        if sent and self._caution.settled(len(mine)):
            self.renew_consumer()
        self._metrics.holds(self.held, current.held_bytes)
        self._read_on(current)
        return len(mine)

    async def give_back(self) -> None:
        """Return everything held to the queue, in order, by closing the channel; `run` opens the next one."""
        if self._current is not None:
            self._current.end("held deliveries are given back")

    async def stop(self) -> None:
        """Close for good; what is not settled goes back to the queue."""
        current, self._current = self._current, None
        if current is not None:
            current.end("the process ends")
            _unread(current)
            await close(current.channel)
        await self._drop_connection()

    async def look(self) -> int | None:
        """Ask the broker for the queue's depth (kept in `depth`); the number of its consumers, None if not known."""
        connection = self._connection
        if connection is None or not self.connected or self.throttled:
            self.depth = None
            return None
        try:
            self.depth, consumers = await look_at(connection, self._worker.queue)
        except LinkError as error:
            log.warning("queue_not_seen", error=str(error))
            self.depth = None
            return None
        self._metrics.queue_depth.set(self.depth)
        return consumers

    async def look_at_letters(self) -> None:
        """Ask the broker for the number of letters in the DLQ; where there is no DLQ yet, there are none."""
        connection = self._connection
        if connection is None or not self.connected or self.throttled:
            return
        try:
            letters, _ = await look_at(connection, self._worker.dead_letter_queue)
        except LinkError as error:
            log.debug("dead_letters_not_seen", error=str(error))
        else:
            self._metrics.letters.set(letters)


def _unread(generation: Generation) -> None:
    """What still comes for a generation that has ended is not held."""
    if generation.receiver is not None:
        generation.receiver.forget(generation.number)
    generation.throttle.open()
