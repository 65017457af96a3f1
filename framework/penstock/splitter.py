"""Splits what a broker sends into frames, and takes the deliveries of consumers and the confirms of publishers out."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from penstock.delivery import NO_GENERATION, Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.confirms import Confirms

    #: Told deliveries, in their order; it must not wait.
    Received = Callable[[Sequence[Delivery]], None]

#: Before the payload of a frame: its type, its channel, its length in bytes. One byte stands behind it.
_FRAME = struct.Struct(">BHI")
_FRAME_END = 0xCE
_FRAME_ENDED = bytes([_FRAME_END])
_METHOD, _HEADER, _BODY = 1, 2, 3
#: Class and number, which begin the payload of a method.
_DELIVER = b"\x00\x3c\x00\x3c"
_RETURN = b"\x00\x3c\x00\x32"
_ACK = b"\x00\x3c\x00\x50"
_NACK = b"\x00\x3c\x00\x78"
_BLOCKED = b"\x00\x0a\x00\x3c"
_UNBLOCKED = b"\x00\x0a\x00\x3d"
_INDEX = len(_DELIVER)
#: Of basic.deliver, behind the consumer's tag: the delivery tag, and whether it was delivered before. Of a confirm: the
#: tag of a publish, and whether all before it are meant as well.
_TAG = struct.Struct(">QB")
#: A content header: class, a weight that means nothing, the body's length; then which properties there are.
_CONTENT = struct.Struct(">HHQH")
_BASIC = 60
#: A whole frame with a content header, as far as both are of one length.
_HEADER_FRAME = struct.Struct(">BHIHHQ")
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
        self._confirms: dict[int, Confirms] = {}
        #: What the bytes in hand have confirmed or refused.
        self._answers: list[Callable[[], None]] = []
        #: By channel.
        self._contents: dict[int, _Content] = {}
        #: Exchange and routing key of the last delivery, in AMQP's bytes and as text: mostly the next one's too.
        self._names: tuple[bytes, str, str] = (b"\0\0", "", "")
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
        self._agree(frame_max)
        self._consumers[channel, consumer_tag.encode()] = consumer

    def drop(self, generation: int, consumer_tag: str = "") -> None:
        """Take no more deliveries of a consumer, or of a generation; one that has begun to come is still taken."""
        for key, consumer in list(self._consumers.items()):
            if consumer.generation == generation and consumer_tag.encode() in {b"", key[1]}:
                del self._consumers[key]

    def confirm(self, channel: int, confirms: Confirms, frame_max: int) -> None:
        """Take what is said of the publishes of a channel from now on."""
        self._agree(frame_max)
        self._confirms[channel] = confirms

    def _agree(self, frame_max: int) -> None:
        self._largest = 2 * max(frame_max, _FRAME_MAX) if frame_max else 2**32

    def answers(self) -> list[Callable[[], None]]:
        """What tells those who wait for a confirm; to be called after what came back was handed over."""
        answers, self._answers = self._answers, []
        return answers

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
                taken = end + 1
            else:
                taken = self._method(data, channel, begin, end) if kind == _METHOD else 0
                if not taken:
                    at = end + 1
                    continue
            if start < at:
                passed.append(data[start:at])
            start = at = taken
        if start < at:
            passed.append(data[start:at])
        self._begun = self._begun or at > 0
        return passed, at

    def _method(self, data: bytes, channel: int, at: int, end: int) -> int:
        """Where that ends what is taken of a delivery, where a method begins one for one of our consumers; else 0.

        Its payload is data[at:end].
        """
        index = data[at : at + _INDEX]
        if index == _DELIVER:
            return self._begin(data, channel, at + _INDEX, end)
        if (confirms := self._confirms.get(channel)) is not None:
            return self._answer(confirms, data, channel, at, end)
        if channel == 0 and index == _BLOCKED:
            # A short string: one byte for its length, which is all that is left.
            self._notice(data[at + _INDEX + 1 : end].decode(errors="replace"))
        elif channel == 0 and index == _UNBLOCKED:
            self._notice(None)
        return 0

    def _begin(self, data: bytes, channel: int, at: int, end: int) -> int:
        """Begin a delivery, if it is for one of our consumers; see `_method`. Its fields are data[at:end]."""
        middle = at + 1 + data[at]
        consumer = self._consumers.get((channel, data[at + 1 : middle]))
        if consumer is None:
            return 0
        at = middle + _TAG.size
        names = data[at:end]
        try:
            tag, flags = _TAG.unpack_from(data, middle)
            if names != self._names[0]:
                self._names = _read_names(names)
        except (IndexError, struct.error):
            raise _malformed(f"basic.deliver on channel {channel} is cut short") from None
        _, exchange, routing_key = self._names
        redelivered = bool(flags & 1)
        rest = _rest(data, channel, end + 1)
        if rest is None:
            self._contents[channel] = _Content(consumer, tag, exchange, routing_key, redelivered)
            return end + 1
        header, body = rest
        delivery = Delivery(
            consumer.generation,
            tag,
            data[body],
            exchange=exchange,
            routing_key=routing_key,
            redelivered=redelivered,
            properties=data[header],
        )
        self._complete(consumer, delivery)
        after: int = body.stop + 1
        return after

    def _answer(self, confirms: Confirms, data: bytes, channel: int, at: int, end: int) -> int:
        """Take what is said of what we have published; see `_method`."""
        index = data[at : at + _INDEX]
        if index == _RETURN:
            # Its id, which is all that matters, comes with the content.
            returned = Registered(NO_GENERATION, confirms.returned)
            self._contents[channel] = _Content(returned, 0, "", "", redelivered=False)
        elif index in {_ACK, _NACK}:
            if end - at < _INDEX + _TAG.size:
                raise _malformed(f"a confirm on channel {channel} is cut short")
            tag, flags = _TAG.unpack_from(data, at + _INDEX)
            self._answers.append(partial(confirms.settle, tag, multiple=bool(flags & 1), taken=index == _ACK))
        else:
            return 0
        return end + 1

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
            delivery = Delivery(
                content.consumer.generation,
                content.tag,
                b"".join(content.parts),
                exchange=content.exchange,
                routing_key=content.routing_key,
                redelivered=content.redelivered,
                properties=content.header,
            )
            self._complete(content.consumer, delivery)

    def _complete(self, consumer: Registered, delivery: Delivery) -> None:
        if not self._runs or self._runs[-1][0] is not consumer:
            self._runs.append((consumer, []))
        self._runs[-1][1].append(delivery)


def _rest(data: bytes, channel: int, at: int) -> tuple[slice, slice] | None:
    """Where a content header and its body stand, if they come next as two whole frames, as they mostly do.

    None where it is otherwise: then they are taken frame by frame, and what is wrong with one is said.
    """
    length = len(data)
    if length - at > _HEADER_FRAME.size:
        kind, number, size, basic, _, left = _HEADER_FRAME.unpack_from(data, at)
        header = at + _FRAME.size
        end = header + size
        body = end + 1 + _FRAME.size
        last = body + left
        if (
            last < length
            and left
            and (kind, number, basic) == (_HEADER, channel, _BASIC)
            and size >= _CONTENT.size
            and data[end:body] == _FRAME_ENDED + _FRAME.pack(_BODY, channel, left)
            and data[last] == _FRAME_END
        ):
            return slice(header, end), slice(body, last)
    return None


def _read_names(names: bytes) -> tuple[bytes, str, str]:
    """Exchange and routing key behind their bytes; what is no UTF-8 is no reason to give up the message.

    Raises IndexError where they are cut short.
    """
    middle = 1 + names[0]
    last = middle + 1 + names[middle]
    if last > len(names):
        raise IndexError
    return names, names[1:middle].decode(errors="replace"), names[middle + 1 : last].decode(errors="replace")


def _malformed(what: str) -> ConnectionError:
    return ConnectionError(f"the broker sent no AMQP: {what}")
