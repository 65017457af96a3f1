"""Too much is held: the broker's socket is not read, so that TCP holds the broker up (decision 0033).

A cancel stops nothing that the broker has begun to send: that may be the whole prefetch, and bodies are large.
"""

from __future__ import annotations

import asyncio
import select
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Seconds between two heartbeats that the client library is given while nothing is read: it would take the connection
#: for dead. As often the system is asked whether the connection still stands (TCP keepalive finds out in a minute).
BEAT = 0.5


class Throttle(asyncio.ReadTransport):
    """Of one connection; it does nothing before it is told its socket.

    While the broker is asked something the socket is read, or there would be no answer. It stands between the socket
    and the client library, which has reasons of its own to wait, and must not go on reading where we do not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._socket: asyncio.ReadTransport | None = None
        self._beat: Callable[[], None] | None = None
        #: The client library has enough for now.
        self._full = False
        #: The connection is over: its end is to be read.
        self._lost = False
        self._timer: asyncio.TimerHandle | None = None
        self._asked = 0
        self._opened = asyncio.Event()
        self._opened.set()

    def attach(self, socket: asyncio.ReadTransport, beat: Callable[[], None]) -> None:
        """The socket of the connection; `beat` gives the client library a heartbeat."""
        self._socket, self._beat = socket, beat

    @property
    def closed(self) -> bool:
        """Whether nothing is read but for the answer to a question."""
        return not self._opened.is_set()

    async def opened(self) -> None:
        """Return once it is open."""
        await self._opened.wait()

    def close(self) -> None:
        """Read nothing more; what one read has brought already still comes."""
        if not self.closed:
            self._opened.clear()
            self._apply()

    def open(self) -> None:
        """Read on."""
        if self.closed:
            self._opened.set()
            self._apply()

    @contextmanager
    def asking(self) -> Iterator[None]:
        """While the block waits for an answer of the broker, its socket is read."""
        self._asked += 1
        self._apply()
        try:
            yield
        finally:
            self._asked -= 1
            self._apply()

    def pause_reading(self) -> None:
        """Called where the client library has more to do than it keeps."""
        self._full = True
        self._apply()

    def resume_reading(self) -> None:
        """Called where it has done most of that."""
        self._full = False
        self._apply()

    def _apply(self) -> None:
        if self._socket is None or self._socket.is_closing():
            return
        if self._throttled or self._full:
            self._socket.pause_reading()
        else:
            self._socket.resume_reading()
        if self._throttled and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(BEAT, self._keep_alive)

    @property
    def _throttled(self) -> bool:
        return self.closed and not self._asked and not self._lost

    def _keep_alive(self) -> None:
        """Give a heartbeat, and again after a while; but of a connection that is lost the end is read."""
        self._timer = None
        if self._socket is None or self._beat is None or self._socket.is_closing() or not self._throttled:
            return
        self._lost = is_lost(self._socket)
        self._apply()
        if not self._lost:
            self._beat()


def is_lost(transport: asyncio.ReadTransport) -> bool:
    """Whether the peer has closed the connection or is gone, which a socket that is not read tells nobody."""
    found = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return True
    poll = select.poll()
    # An end that stands behind bytes not read yet is seen only where the system can say so.
    poll.register(found.fileno(), getattr(select, "POLLRDHUP", 0))
    return bool(poll.poll(0))
