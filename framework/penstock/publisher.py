"""`penstock.Publisher`: a publish returns once its message is durable, with the broker or in the outbox."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

from penstock.clock import SystemClock
from penstock.errors import LinkError, PublishRefused, UsageError
from penstock.idempotency import KEY_HEADER
from penstock.identifier import Identifiers
from penstock.journal_bounds import Usage
from penstock.message import make
from penstock.outbox import State, open_outbox
from penstock.outbox_drain import Drainer
from penstock.publish_link import WINDOW
from penstock.rate import Rate
from penstock.sender import Sender
from penstock.settings import load

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import TracebackType

    from penstock.clock import Clock
    from penstock.message import Message
    from penstock.outbox import Kept
    from penstock.settings import Settings

#: The standard library's, as it runs within other people's programs.
log = logging.getLogger(__name__)

#: Publishes under way at one time; more wait for their turn. Half of what a page of the outbox holds, so that the
#: outbox gets empty however fast it is published to.
ROOM = WINDOW // 2


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker has confirmed that a queue holds the message."""

    id: str


@dataclass(frozen=True, slots=True)
class Stored:
    """The message is on the disk of this machine, in the outbox, and goes to the broker once that answers."""

    id: str


Receipt: TypeAlias = Confirmed | Stored


@dataclass(frozen=True, slots=True)
class Stats:
    """`pending` messages wait in the outbox, the oldest for `oldest_age` seconds; `failed` ones are kept aside there.

    `byte_size` counts the bytes of both. `confirmed` is what the broker has confirmed since the publisher was made,
    `rate` that in messages a second, over the last 10 seconds. `blocked`: the broker says that it takes none. `trouble`
    says what keeps messages from the broker, and is empty where nothing does.
    """

    pending: int
    failed: int
    oldest_age: float
    byte_size: int
    rate: float
    confirmed: int
    blocked: bool
    trouble: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A message of the outbox that the broker refused, and its words; kept until it is tried again or discarded."""

    id: str
    exchange: str
    routing_key: str
    body: bytes
    headers: Mapping[str, Any]
    reason: str


@dataclass(slots=True, eq=False)
class _Flight:
    """A publish on its way to the broker, and its place in the outbox once it was put there as well."""

    message: Message
    stored: asyncio.Future[None] | None = None


class Publisher:
    """Used as `async with Publisher() as publisher`. Without `settings` it reads them as every command does.

    With outbox.path set, opening it takes that file for this process (JournalError where another holds it) and begins
    to send what an earlier process left there; closing it leaves there what is not sent yet. The broker may be away.

    What is Stored is on one disk, and lost with it where it is lost before the broker is back: the outbox bridges an
    outage of the broker and a death of the process, not of the disk. Who cannot accept that takes Confirmed alone
    for safe, or puts the file on replicated storage; in a container, a place that outlives it is for you to mount.
    """

    def __init__(
        self, settings: Settings | None = None, *, name: str = "publisher", clock: Clock | None = None
    ) -> None:
        #: What the broker's operators see, and what its metrics are labelled with.
        self.name = name
        self._settings = load() if settings is None else settings
        self._clock = clock or SystemClock()
        self._identifiers = Identifiers(self._clock)
        self._sender = Sender(self._settings, name, self._clock)
        self._confirmed = 0
        self._rate = Rate(self._clock)
        self._room = asyncio.Semaphore(ROOM)
        #: Taken in turn, so that nobody overtakes who came first.
        self._order = asyncio.Lock()
        self._flights: dict[str, _Flight] = {}
        self._drainer: Drainer | None = None
        self._open = False

    async def __aenter__(self) -> Self:
        if path := self._settings.outbox.path:
            outbox = await open_outbox(self._settings.outbox, path, self._clock)
            self._drainer = Drainer(outbox, self._send, self._sender.blockage, self._settings.retry, self._clock)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._open = False
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._sender.close)
            if self._drainer is not None:
                closing.push_async_callback(self._drainer.outbox.close)
                await self._drainer.close()
            if pending := self.stats().pending:
                log.warning(
                    "outbox_left: %d messages wait in %s for the next start", pending, self._settings.outbox.path
                )

    async def publish(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        *,
        key: str | None = None,
        headers: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> Receipt:
        """Publish a persistent message. Returns once it is durable: Confirmed by the broker, or Stored in the outbox.

        Publishes go out in the order they were begun. The message's id, a UUIDv7, is also its `key` where none is
        given: whatever is sent again by the publisher is one effect at the worker. To repeat a publish that raised
        or was cancelled, which may have arrived, give it a key of your own.

        Raises PublishRefused where no queue is bound or the broker refuses it, transaction.retry_attempts times.
        Without an outbox raises LinkError while the broker is away. With one raises JournalFull where it is full, and
        JournalError where its disk fails. Raises UsageError before it is opened and after it is closed.
        """
        if not self._open:
            raise UsageError("the publisher is not open: publish within `async with Publisher() as publisher`")
        if self._drainer is not None:
            self._drainer.check()
        given = dict(headers or {}) | ({KEY_HEADER: key} if key is not None else {})
        async with self._room:
            message = make(
                self._identifiers.next(),
                exchange,
                routing_key,
                body,
                headers=given,
                content_type=content_type,
                now=self._clock.now(),
            )
            return await self._submit(message)

    async def flush(self) -> None:
        """Wait until nothing waits in the outbox, however long that takes; bound it with asyncio.timeout."""
        if self._drainer is not None:
            await self._drainer.drained()

    async def failed(self) -> list[Failed]:
        """The messages of the outbox that the broker refused, in the order they were published."""
        return [_failed(kept) for kept in await self._kept_aside(None)]

    async def retry_failed(self, ids: Collection[str]) -> int:
        """Send those failed messages again, each in its old place in the outbox; how many there were."""
        kept = await self._kept_aside(ids)
        if self._drainer is not None and kept:
            await self._drainer.retry(kept)
        return len(kept)

    async def discard_failed(self, ids: Collection[str]) -> int:
        """Remove those failed messages for ever; how many there were."""
        kept = await self._kept_aside(ids)
        if self._drainer is not None and kept:
            await self._drainer.outbox.discard(kept)
        return len(kept)

    def stats(self) -> Stats:
        """What is in the outbox, as of its last commit, and how fast messages are confirmed; from any thread."""
        drainer, blocked = self._drainer, self._sender.blockage.trouble
        state = State(Usage(), Usage(), None) if drainer is None else drainer.outbox.state
        return Stats(
            pending=state.pending.records,
            failed=state.failed.records,
            oldest_age=max(0.0, self._clock.now() - state.oldest) if state.oldest is not None else 0.0,
            byte_size=state.pending.byte_size + state.failed.byte_size,
            rate=self._rate.per_second(),
            confirmed=self._confirmed,
            blocked=bool(blocked),
            trouble=blocked or ("" if drainer is None else drainer.trouble),
        )

    async def _submit(self, message: Message) -> Receipt:
        drainer = self._drainer
        if drainer is None:
            return await self._try(message)
        async with self._order:
            await drainer.nearly_there()
            stored = None if drainer.outbox.empty else drainer.put(message)
        if stored is None:
            return await self._try(message)
        await asyncio.shield(stored)  # it is stored, whoever gives up waiting for that
        await drainer.pace()
        return Stored(message.id)

    async def _try(self, message: Message) -> Receipt:
        """Send it past the outbox, which is empty; where that ends in an outage, it is the outbox that has it."""
        flight = self._flights[message.id] = _Flight(message)
        try:
            await self._send(message, lambda: flight.stored is not None)
        except LinkError as error:
            if not isinstance(error, PublishRefused):
                self._divert(error)
            if flight.stored is None:
                raise
            await asyncio.shield(flight.stored)
            return Stored(message.id)
        finally:
            del self._flights[message.id]
        return Confirmed(message.id)

    def _divert(self, error: LinkError) -> None:
        """Put all that is under way into the outbox, in the order it was begun: what comes later goes behind it."""
        drainer = self._drainer
        if drainer is None:
            return
        diverted = [flight for flight in self._flights.values() if flight.stored is None]
        for flight in diverted:
            flight.stored = drainer.put(flight.message)
        if diverted:
            log.warning("outbox_stores: %d messages under way, and those to come: %s", len(diverted), error)

    async def _send(self, message: Message, given_up: Callable[[], bool]) -> None:
        await self._sender.send(message, given_up)
        self._confirmed += 1
        self._rate.add()

    async def _kept_aside(self, ids: Collection[str] | None) -> list[Kept]:
        kept = [] if self._drainer is None else await self._drainer.outbox.failed()
        return [one for one in kept if ids is None or one.message.id in ids]


def _failed(kept: Kept) -> Failed:
    message = kept.message
    headers = message.decoded().headers or {}
    return Failed(message.id, message.exchange, message.routing_key, message.body, headers, kept.failure)
