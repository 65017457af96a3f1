"""One client: its socket, its handshake and its channels."""

from __future__ import annotations

import asyncio
from traceback import extract_tb
from typing import TYPE_CHECKING, cast

from pamqp.commands import Basic, Channel, Connection

from penstock.embedded.broker.channel import ClientChannel
from penstock.embedded.broker.events import say
from penstock.embedded.broker.frames import (
    HEADER,
    HEARTBEAT,
    METHOD,
    PROTOCOL_HEADER,
    Splitter,
    heartbeat_frame,
    method_frame,
    read_method,
)
from penstock.embedded.broker.handshake import Handshake, LoginRefused
from penstock.embedded.broker.replies import (
    CHANNEL_ERROR,
    FRAME_ERROR,
    INTERNAL_ERROR,
    NOT_ALLOWED,
    NOT_IMPLEMENTED,
    UNEXPECTED_FRAME,
    ChannelFault,
    ConnectionFault,
)
from penstock.embedded.broker.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pamqp.base import Frame

    from penstock.embedded.broker.broker import Broker
    from penstock.embedded.broker.login import Login

#: Bytes that may wait for a slow client before it gets no more deliveries, and before nothing more is read of it.
DELIVERY_LIMIT = 1 << 20
READ_LIMIT = 1 << 22
#: Seconds a client may take to log in, and to answer Connection.Close.
HANDSHAKE_TIMEOUT = 10.0
CLOSE_TIMEOUT = 2.0


class ClientConnection(asyncio.Protocol):
    """A client. Nothing it sends can harm the broker or another client."""

    def __init__(self, broker: Broker, login: Login, connections: set[ClientConnection]) -> None:
        self.broker = broker
        self.handshake = Handshake(login)
        #: Done when the socket is closed.
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._peer = ""
        self._greeted = b""
        self._splitter = Splitter()
        self._channels: dict[int, ClientChannel] = {}
        #: Channels that the broker has closed and the client has not yet confirmed as closed.
        self._closing_channels: set[int] = set()
        self._closing = False
        #: Whether the connection ends with what is sent next.
        self._hang_up = False
        self._out: list[bytes] = []
        self._out_size = 0
        self._paused = False
        self._watch = Watch()

    # The socket.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's greeting."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=DELIVERY_LIMIT)
        self._peer = ":".join(map(str, transport.get_extra_info("peername") or ()))
        self._connections.add(self)
        self._watch.limit(HANDSHAKE_TIMEOUT, self.abort)

    def data_received(self, data: bytes) -> None:
        """Do what the client asks for."""
        self._watch.heard()
        try:
            if len(self._greeted) < len(PROTOCOL_HEADER):
                data = self._greet(data)
            for kind, number, payload in self._splitter.split(data):
                self._receive(kind, number, payload)
        except ConnectionFault as fault:
            self._refuse(fault)
        except Exception as error:  # noqa: BLE001 - a fault of the broker's own costs one client its connection, no more
            where = extract_tb(error.__traceback__)[-1]
            # The error's text may hold what the client sent.
            text = f"{type(error).__name__} in the development broker, {where.name} line {where.lineno}"
            self._refuse(ConnectionFault(INTERNAL_ERROR, text))
        if self._transport is not None and self._waiting > READ_LIMIT:
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Return what the client held to its queues, and delete the queues that were its alone."""
        self._transport = None
        self._connections.discard(self)
        self.ended.set_result(None)
        self._watch.stop()
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        for queue in [queue for queue in self.broker.queues.values() if queue.owner is self]:
            self.broker.delete_queue(queue)
        if self.handshake.done:
            say("connection_closed", client=self._peer, name=self.handshake.name, error=str(exc) if exc else None)

    def pause_writing(self) -> None:
        """The client reads more slowly than the broker writes."""
        self._paused = True

    def resume_writing(self) -> None:
        """The client has read what there was."""
        self._paused = False
        if self._transport is not None:
            self._transport.resume_reading()
        self._ask_for_deliveries()

    # What the broker and the channels see.

    @property
    def writable(self) -> bool:
        """Whether the client takes more deliveries."""
        return not self._paused and self._out_size < DELIVERY_LIMIT

    @property
    def largest_frame(self) -> int:
        """The agreed size of a frame, in bytes."""
        return self.handshake.largest_frame

    def send(self, frames: Iterable[bytes]) -> None:
        """Send frames at the end of this turn."""
        before = len(self._out)
        self._out.extend(frames)
        self._out_size += sum(map(len, self._out[before:]))
        self.broker.speaks(self)

    def flush(self) -> None:
        """Send what was said in this turn."""
        full = not self.writable
        for channel in self._channels.values():
            self._out.extend(channel.confirms())
        data, self._out, self._out_size = b"".join(self._out), [], 0
        if self._transport is None:
            return
        self._transport.write(data)
        if self._hang_up:
            self._transport.close()
        elif not self._paused:
            self._transport.resume_reading()
            if full:
                self._ask_for_deliveries()

    def close(self, code: int, text: str) -> None:
        """Tell the client that the connection is over; what it sends now is not heard."""
        self._closing = True
        for channel in self._channels.values():
            channel.close()
            self.send(channel.confirms())
        self._channels.clear()
        self.send([method_frame(0, Connection.Close(code, text, 0, 0))])
        self._watch.limit(CLOSE_TIMEOUT, self.abort)

    def abort(self) -> None:
        """End the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    @property
    def _waiting(self) -> int:
        return self._out_size + (self._transport.get_write_buffer_size() if self._transport is not None else 0)

    def _ask_for_deliveries(self) -> None:
        for channel in self._channels.values():
            channel.ask_for_deliveries()

    # What the client sends.

    def _greet(self, data: bytes) -> bytes:
        """Take the protocol header; the rest of what was read."""
        missing = len(PROTOCOL_HEADER) - len(self._greeted)
        self._greeted += data[:missing]
        if self._greeted == PROTOCOL_HEADER:
            self.send([method_frame(0, self.handshake.greeting())])
        elif not PROTOCOL_HEADER.startswith(self._greeted) and self._transport is not None:
            # The broker says what it speaks, and hangs up.
            self._closing = True
            self._greeted = PROTOCOL_HEADER
            self._transport.write(PROTOCOL_HEADER)
            self._transport.close()
            say("not_amqp", level="warning", client=self._peer)
        return data[missing:]

    def _receive(self, kind: int, number: int, payload: bytes) -> None:
        if kind == HEARTBEAT:
            if number:
                raise ConnectionFault(FRAME_ERROR, f"heartbeat on channel {number}")
            return
        if self._closing:
            if kind == METHOD and not number:
                self._receive_at_the_end(read_method(payload))
            return
        method = read_method(payload) if kind == METHOD else None
        if not number or not self.handshake.done:
            self._control(number, method)
        elif number in self._closing_channels:
            self._end_of_channel(number, method)
        elif number not in self._channels:
            self._open_channel(number, method)
        else:
            self._use_channel(number, method, kind, payload)

    def _receive_at_the_end(self, method: Frame) -> None:
        match method:
            case Connection.CloseOk():
                if self._transport is not None:
                    self._transport.close()
            case Connection.Close():
                self.send([method_frame(0, Connection.CloseOk())])

    def _control(self, number: int, method: Frame | None) -> None:
        """Take what concerns the connection as a whole."""
        if method is None or number:
            raise ConnectionFault(UNEXPECTED_FRAME, f"unexpected frame on channel {number}")
        match method:
            case Connection.Close():
                self._last_words()
            case _ if self.handshake.done:
                raise ConnectionFault(NOT_IMPLEMENTED, f"the development broker does without {method.name}")
            case _:
                self._shake_hands(method)

    def _shake_hands(self, method: Frame) -> None:
        answer = self.handshake.answer(method)
        if answer is not None:
            self.send([method_frame(0, answer)])
        if not self.handshake.done:
            return
        self._splitter.largest = self.handshake.largest_frame
        say("connection_opened", client=self._peer, name=self.handshake.name)
        self._watch.beat(self.handshake.heartbeat, self._beat, self._silent)

    def _last_words(self) -> None:
        """The client hangs up."""
        self._closing = True
        for channel in self._channels.values():
            channel.close()
        self._channels.clear()
        self.send([method_frame(0, Connection.CloseOk())])
        self._hang_up = True

    def _open_channel(self, number: int, method: Frame | None) -> None:
        if not isinstance(method, Channel.Open):
            raise ConnectionFault(CHANNEL_ERROR, f"expected 'channel.open' on channel {number}, which is not open")
        if number > self.handshake.channel_max:
            text = f"channel {number} is beyond the negotiated channel_max ({self.handshake.channel_max})"
            raise ConnectionFault(NOT_ALLOWED, text)
        self._channels[number] = ClientChannel(self, number)
        self.send([method_frame(number, Channel.OpenOk())])

    def _use_channel(self, number: int, method: Frame | None, kind: int, payload: bytes) -> None:
        channel = self._channels[number]
        try:
            match method:
                case None if kind == HEADER:
                    channel.receive_header(payload)
                case None:
                    channel.receive_body(payload)
                case Channel.Close():
                    del self._channels[number]
                    channel.close()
                    self.send([*channel.confirms(), method_frame(number, Channel.CloseOk())])
                case Channel.Open():
                    raise ConnectionFault(CHANNEL_ERROR, f"second 'channel.open' seen on channel {number}")
                case _:
                    channel.receive(method)
        except ChannelFault as fault:
            say("channel_refused", level="warning", client=self._peer, name=self.handshake.name, error=str(fault))
            del self._channels[number]
            self._closing_channels.add(number)
            channel.close()
            # A fault found in the content of a message is one of its Basic.Publish.
            closing = Channel.Close(fault.code, str(fault), *_identity(method or Basic.Publish()))
            self.send([*channel.confirms(), method_frame(number, closing)])

    def _end_of_channel(self, number: int, method: Frame | None) -> None:
        """Hear nothing on a channel that was closed until the client has seen that."""
        match method:
            case Channel.CloseOk():
                self._closing_channels.discard(number)
            case Channel.Close():
                self.send([method_frame(number, Channel.CloseOk())])

    def _refuse(self, fault: ConnectionFault) -> None:
        say("connection_refused", level="warning", client=self._peer, name=self.handshake.name, error=str(fault))
        told = "authentication_failure_close" in self.handshake.capabilities
        if self._closing or (isinstance(fault, LoginRefused) and not told):
            self.abort()
        else:
            self.close(fault.code, str(fault))

    def _beat(self) -> None:
        self.send([heartbeat_frame()])

    def _silent(self) -> None:
        say("heartbeats_missed", level="warning", client=self._peer, name=self.handshake.name)
        self.abort()


def _identity(method: Frame | None) -> tuple[int, int]:
    """Class and method of the request that is refused."""
    return (method.index >> 16, method.index & 0xFFFF) if method is not None else (0, 0)
