"""One connection through the fault proxy: a client's end, the server's end, and what the rules do to the bytes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable
    from random import Random

#: Closing with this set sends a reset (RST) in place of a good-bye.
LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Trap:
    """Sprung once: when `pattern` first passes from any client to the server, that connection is reset or black-holed.

    `message` says whether the server still gets the pattern. `sprung` is set then.
    """

    pattern: bytes
    then: Literal["reset", "black_hole"]
    message: Literal["delivered", "swallowed"]
    sprung: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True, eq=False, kw_only=True)
class Rules:
    """What befalls all connections now, and what has been counted. Touched by the proxy's own thread only."""

    host: str
    port: int
    chance: Random
    way: Literal["pass", "cut", "black_hole"] = "pass"
    #: Seconds that every piece of data takes, each way.
    latency: float = 0.0
    #: The chance that a piece of data from a client is its connection's last.
    reset_share: float = 0.0
    trap: Trap | None = None
    tried: int = 0
    resets: int = 0
    pairs: set[Pair] = field(default_factory=set)
    #: Set while there are no connections.
    idle: asyncio.Event = field(default_factory=asyncio.Event)


class Side(asyncio.Protocol):
    """One end of a pair. What is to be done to it is done in order, late where there is latency."""

    def __init__(self, pair: Pair) -> None:
        self.transport: asyncio.Transport | None = None
        #: Whether this end has said that it sends no more.
        self.ended = False
        self._pair = pair
        self._late: deque[Callable[[], None]] = deque()

    @property
    def peer(self) -> Side:
        """The other end."""
        return self._pair.server if self is self._pair.client else self._pair.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._pair.made(self)

    def data_received(self, data: bytes) -> None:
        self._pair.received(self, data)

    def eof_received(self) -> bool:
        self.ended = True
        self._pair.finished(self)
        # This end may still be sent to.
        return True

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._pair.lost(self, error)

    def pause_writing(self) -> None:
        if self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def do(self, action: Callable[[], None], latency: float) -> None:
        """Do this to the end after `latency` seconds, and never before what was asked for earlier."""
        if latency or self._late:
            self._late.append(action)
            asyncio.get_running_loop().call_later(latency, self._next)
        else:
            action()

    def forget(self) -> None:
        """Drop what is still under way to this end."""
        self._late.clear()

    def write(self, data: bytes) -> None:
        """Send data, if this end still takes any."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def finish(self) -> None:
        """Say that no more is coming; close, if this end sends no more either."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write_eof()
            if self.ended:
                self.transport.close()

    def close(self) -> None:
        """Close politely, after what was written."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close at once with a reset."""
        if self.transport is not None:
            found: socket.socket = self.transport.get_extra_info("socket")
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
            self.transport.abort()

    def _next(self) -> None:
        if self._late:
            self._late.popleft()()


class Pair:
    """A client's connection and the one that is made for it to the server."""

    def __init__(self, rules: Rules) -> None:
        self.client = Side(self)
        self.server = Side(self)
        #: Whether it is in a black hole: nothing passes, a good-bye neither.
        self.swallows = False
        self._rules = rules
        #: Whether it was reset already; the server may still be sent the last of it.
        self._broken = False
        self._connecting: asyncio.Task[None] | None = None
        self._trap: Trap | None = None
        #: The end of what has passed, in which the trap's pattern may have begun.
        self._tail = b""

    def made(self, side: Side) -> None:
        """An end is connected."""
        if side is self.server:
            return
        self._rules.tried += 1
        self._rules.pairs.add(self)
        self._rules.idle.clear()
        match self._rules.way:
            case "cut":
                side.reset()
            case "black_hole":
                self.swallow()
            case "pass":
                if side.transport is not None:
                    side.transport.pause_reading()
                self._connecting = asyncio.create_task(self._connect())

    def received(self, side: Side, data: bytes) -> None:
        """An end has sent data."""
        if self.swallows:
            return
        if side is self.client:
            if self._sprung(data):
                return
            if self._rules.reset_share and self._rules.chance.random() < self._rules.reset_share:
                # Half of the time the server still gets the data: nobody can tell.
                self._break(self._rules.chance.choice([data, b""]))
                return
        side.peer.do(lambda: side.peer.write(data), self._rules.latency)

    def finished(self, side: Side) -> None:
        """An end sends no more."""
        if not self.swallows:
            side.peer.do(side.peer.finish, self._rules.latency)
            if side.peer.ended:
                side.do(side.close, self._rules.latency)

    def lost(self, side: Side, error: Exception | None) -> None:
        """An end is gone."""
        if not self.swallows:
            if error is not None or (side is self.client and self._connecting is not None):
                self.server.reset()
                self.client.reset()
            else:
                side.peer.do(side.peer.close, self._rules.latency)
        if self.client.transport is None and self.server.transport is None and self._connecting is None:
            self._rules.pairs.discard(self)
            if not self._rules.pairs:
                self._rules.idle.set()

    def swallow(self) -> None:
        """From now on nothing passes either way."""
        self.swallows = True
        for side in (self.client, self.server):
            side.forget()
            if side.transport is not None:
                side.transport.resume_reading()

    def reset(self) -> None:
        """End both connections at once, each with a reset; one that was broken before gets what it was to get."""
        if not self._broken:
            self._rules.resets += 1
            self.abort()

    def abort(self) -> None:
        """End both connections whatever is under way; it is not counted."""
        self.client.reset()
        self.server.reset()

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: self.server, self._rules.host, self._rules.port)
        except OSError:
            self.client.reset()
        finally:
            self._connecting = None
        if self.client.transport is None or self.client.transport.is_closing():
            self.server.reset()
            self.lost(self.client, None)
        elif self.server.transport is not None:
            self.client.transport.resume_reading()

    def _sprung(self, data: bytes) -> bool:
        """Whether this data has sprung the trap; what is to become of it is done then."""
        trap = self._rules.trap
        if trap is None or trap.sprung.is_set():
            return False
        if trap is not self._trap:
            self._trap, self._tail = trap, b""
        seen = self._tail + data
        start = seen.find(trap.pattern)
        if start < 0:
            self._tail = seen[max(0, len(seen) - len(trap.pattern) + 1) :]
            return False
        end = start if trap.message == "swallowed" else start + len(trap.pattern)
        passes = data[: max(0, end - len(self._tail))]
        match trap.then:
            case "reset":
                self._break(passes)
            case "black_hole":
                self.server.write(passes)
                self.swallow()
        trap.sprung.set()
        return True

    def _break(self, passes: bytes) -> None:
        """Reset the connection; the server still gets `passes`, and then a good-bye."""
        self._rules.resets += 1
        self._broken = True
        self.swallow()
        self.client.reset()
        if passes:
            self.server.write(passes)
            self.server.close()
        else:
            self.server.reset()
