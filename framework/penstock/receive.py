"""The receive path: deliveries are decoded from whole reads of the socket, and never reach the client library.

All else that the broker sends goes on to the library as it came. So a message costs no task, no turn of a queue and no
object but its own, and the connection, its channels and their settling stay the library's.
"""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, cast

from penstock.clock import SystemClock
from penstock.delivery import Delivery
from penstock.throttle import Throttle

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import SupportsIndex

    from penstock.blockage import Blockage
    from penstock.clock import Clock

    #: Told deliveries, in their order; it must not wait.
    Received = Callable[[Sequence[Delivery]], None]

#: Before the payload of a frame: its type, its channel, its length in bytes. One byte stands behind it.
_FRAME = struct.Struct(">BHI")
_FRAME_END = 0xCE
_METHOD, _HEADER, _BODY = 1, 2, 3
#: Class and number, which begin the payload of a method.
_DELIVER = b"\x00\x3c\x00\x3c"
_BLOCKED = b"\x00\x0a\x00\x3c"
_UNBLOCKED = b"\x00\x0a\x00\x3d"
_INDEX = len(_DELIVER)
#: Of basic.deliver, behind the consumer's tag: the delivery tag, and whether it was delivered before.
_TAG = struct.Struct(">QB")
#: A content header: class, a weight that means nothing, the body's length; then which properties there are.
_CONTENT = struct.Struct(">HHQH")
_BASIC = 60
#: A heartbeat of the broker.
_HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"
#: Seconds for which the client library may hear nothing while deliveries come.
_SILENCE = 1.0
#: Bytes of a frame, where nothing else was agreed on.
_FRAME_MAX = 131_072


class Registered(NamedTuple):
    """A consumer whose deliveries are taken, and the number of its generation."""

    generation: int
    received: Received


@dataclass(slots=True, eq=False)
class _Content:
    """A delivery of which not everything is there: `left` bytes of its body are to come; None before its header."""

    consumer: Registered
    tag: int
    exchange: str
    routing_key: str
    redelivered: bool
    header: bytes = b""
    left: int | None = None
    parts: list[bytes] = field(default_factory=list)


class Splitter:
    """Splits what a broker sends into frames, and takes the deliveries of consumers out.

    `notice` is called for each connection.blocked with the reason, for each connection.unblocked with None.
    """

    def __init__(self, notice: Callable[[str | None], None]) -> None:
        self._notice = notice
        #: By channel and consumer tag.
        self._consumers: dict[tuple[int, bytes], Registered] = {}
        #: By channel.
        self._contents: dict[int, _Content] = {}
        #: Deliveries that the bytes in hand completed; neighbours of one consumer stand together.
        self._runs: list[tuple[Registered, list[Delivery]]] = []
        #: The beginning of a frame, and how many bytes of it must be there before it is worth another look.
        self._held = bytearray()
        self._wanted = 0
        #: Twice what was agreed on: the broker adds to the headers of messages, and to their frames.
        self._largest = 2 * _FRAME_MAX
        #: A whole frame has come; or it is not AMQP what comes, and the client library is to say so.
        self._begun = False
        self._foreign = False

    def add(self, channel: int, consumer_tag: str, consumer: Registered, frame_max: int) -> None:
        """Take the deliveries of a consumer from now on; `frame_max` is what was agreed on, 0 for no limit."""
        self._largest = 2 * max(frame_max, _FRAME_MAX) if frame_max else 2**32
        self._consumers[channel, consumer_tag.encode()] = consumer

    def drop(self, generation: int, consumer_tag: str = "") -> None:
        """Take no more deliveries of a consumer, or of a generation; one that has begun to come is still taken."""
        for key, consumer in list(self._consumers.items()):
            if consumer.generation == generation and consumer_tag.encode() in {b"", key[1]}:
                del self._consumers[key]

    @property
    def taking(self) -> bool:
        """Whether a delivery has begun and is not whole."""
        return bool(self._contents)

    def split(self, data: bytes) -> tuple[bytes, list[tuple[Registered, list[Delivery]]]]:
        """What goes on of all that has come, and the deliveries completed. Raises ConnectionError; then it is over."""
        if self._foreign:
            return data, []
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return b"", []
            data = bytes(self._held)
            self._held.clear()
        passed, at = self._frames(data)
        if at < len(data):
            passed.append(self._hold(data[at:]))
        runs, self._runs = self._runs, []
        return b"".join(passed), runs

    def rest(self) -> bytes:
        """The beginning of a frame that will never be whole; it is not asked for twice."""
        held, self._held = self._held, bytearray()
        return bytes(held)

    def _hold(self, beginning: bytes) -> bytes:
        """Keep the beginning of a frame; what goes on of it, which is nothing in AMQP."""
        self._wanted = _FRAME.size + 1
        if len(beginning) >= _FRAME.size:
            _, channel, size = _FRAME.unpack_from(beginning)
            self._wanted += size
            if size > self._largest and not self._begun:
                self._foreign = True
                return beginning
            if size > self._largest and (self._consumers or self._contents):
                raise _malformed(f"a frame on channel {channel} is to have {size} bytes")
        self._held += beginning
        return b""

    def _frames(self, data: bytes) -> tuple[list[bytes], int]:
        """Take the whole frames that `data` begins with; what goes on of them, and where they end."""
        unpack, before, contents = _FRAME.unpack_from, _FRAME.size, self._contents
        passed: list[bytes] = []
        # From `start` on nothing was taken; `at` is where the next frame begins.
        start = at = 0
        length = len(data)
        while length - at > before:
            kind, channel, size = unpack(data, at)
            begin = at + before
            end = begin + size
            if end >= length:
                break
            if data[end] != _FRAME_END:
                raise _malformed(f"a frame of {size} bytes on channel {channel} does not end where it should")
            content = contents.get(channel)
            if content is not None:
                self._continue(content, data, kind, channel, slice(begin, end))
            elif kind != _METHOD or not self._method(data, channel, begin, end):
                at = end + 1
                continue
            if start < at:
                passed.append(data[start:at])
            start = at = end + 1
        if start < at:
            passed.append(data[start:at])
        self._begun = self._begun or at > 0
        return passed, at

    def _method(self, data: bytes, channel: int, at: int, end: int) -> bool:
        """Whether a method begins a delivery for one of our consumers; its payload is data[at:end]."""
        index = data[at : at + _INDEX]
        if index == _DELIVER:
            return self._begin(data, channel, at + _INDEX, end)
        if channel == 0 and index == _BLOCKED:
            # A short string: one byte for its length, which is all that is left.
            self._notice(data[at + _INDEX + 1 : end].decode(errors="replace"))
        elif channel == 0 and index == _UNBLOCKED:
            self._notice(None)
        return False

    def _begin(self, data: bytes, channel: int, at: int, end: int) -> bool:
        """Whether a delivery that begins is for one of our consumers; the fields of basic.deliver are data[at:end]."""
        middle = at + 1 + data[at]
        consumer = self._consumers.get((channel, data[at + 1 : middle]))
        if consumer is None:
            return False
        try:
            tag, flags = _TAG.unpack_from(data, middle)
            at = middle + _TAG.size
            middle = at + 1 + data[at]
            last = middle + 1 + data[middle]
        except (IndexError, struct.error):
            last = end + 1
        if last > end:
            raise _malformed(f"basic.deliver on channel {channel} is cut short")
        # What is no UTF-8 is no reason to give up the message.
        exchange = data[at + 1 : middle].decode(errors="replace")
        routing_key = data[middle + 1 : last].decode(errors="replace")
        self._contents[channel] = _Content(consumer, tag, exchange, routing_key, redelivered=bool(flags & 1))
        return True

    def _continue(self, content: _Content, data: bytes, kind: int, channel: int, payload: slice) -> None:
        """Go on with a delivery that has begun."""
        left = content.left
        if kind == _BODY and left is not None:
            body = data[payload]
            left -= len(body)
            if left < 0:
                raise _malformed(f"a body on channel {channel} is longer than announced")
            content.parts.append(body)
        elif kind == _HEADER and left is None:
            header = content.header = data[payload]
            if len(header) < _CONTENT.size:
                raise _malformed(f"a content header on channel {channel} is cut short")
            number, _, left, _ = _CONTENT.unpack_from(header)
            if number != _BASIC:
                raise _malformed(f"a content header on channel {channel} is of class {number}")
        else:
            raise _malformed(f"a frame of type {kind} on channel {channel} stands in the middle of a delivery")
        content.left = left
        if not left:
            del self._contents[channel]
            self._complete(content)

    def _complete(self, content: _Content) -> None:
        parts = content.parts
        delivery = Delivery(
            content.consumer.generation,
            content.tag,
            parts[0] if len(parts) == 1 else b"".join(parts),
            exchange=content.exchange,
            routing_key=content.routing_key,
            redelivered=content.redelivered,
            properties=content.header,
        )
        if not self._runs or self._runs[-1][0] is not content.consumer:
            self._runs.append((content.consumer, []))
        self._runs[-1][1].append(delivery)


def _malformed(what: str) -> ConnectionError:
    return ConnectionError(f"the broker sent no AMQP: {what}")


class Receiver(asyncio.StreamReader):
    """What comes from the broker: deliveries go to their consumers, the rest to the client library, which reads this.

    What the broker says of taking messages goes to `blockage`; `throttle` says when nothing is read.
    """

    def __init__(self, blockage: Blockage | None, throttle: Throttle | None = None, clock: Clock | None = None) -> None:
        super().__init__()
        self._throttle = throttle or Throttle()
        self._blockage = blockage
        self._clock = clock or SystemClock()
        self._splitter = Splitter(self._notice)
        self._fed_at = self._clock.monotonic()
        #: Nothing more comes.
        self._over = False

    def consume(self, channel: int, consumer_tag: str, generation: int, received: Received, frame_max: int) -> None:
        """Hand the deliveries of a consumer to `received`: all that one read of the socket has completed, at once.

        To be called before basic.consume is sent. `frame_max` is what the connection has agreed on, in bytes.
        """
        self._splitter.add(channel, consumer_tag, Registered(generation, received), frame_max)

    def forget(self, generation: int, consumer_tag: str = "") -> None:
        """A consumer has ended, which the broker has answered, or its generation with all of them."""
        self._splitter.drop(generation, consumer_tag)

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        """Take what one read has brought. No AMQP in it ends the connection, and nothing of it is handed over."""
        if self.exception() is not None:
            return
        try:
            passed, runs = self._splitter.split(bytes(data))
        except ConnectionError as error:
            self.set_exception(error)
            return
        now = self._clock.monotonic()
        # It takes a connection on which it hears nothing for dead.
        if not passed and (runs or self._splitter.taking) and now - self._fed_at >= _SILENCE:
            passed = _HEARTBEAT
        if passed:
            self._fed_at = now
            super().feed_data(passed)
        for consumer, deliveries in runs:
            consumer.received(deliveries)

    def set_transport(self, transport: asyncio.BaseTransport) -> None:
        """Begin with a socket."""
        self._throttle.attach(cast("asyncio.ReadTransport", transport), self._beat)
        super().set_transport(self._throttle)

    def _beat(self) -> None:
        """Give the client library a heartbeat: it stands between two frames."""
        if not self._over:
            super().feed_data(_HEARTBEAT)

    def feed_eof(self) -> None:
        """The broker has hung up."""
        self._over = True
        self._notice(None)
        if rest := self._splitter.rest():
            super().feed_data(rest)
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        """The connection is lost."""
        self._over = True
        self._notice(None)
        super().set_exception(exc)

    def _notice(self, reason: str | None) -> None:
        if self._blockage is not None and reason is not None:
            self._blockage.begin(self, reason)
        elif self._blockage is not None:
            self._blockage.end(self)
