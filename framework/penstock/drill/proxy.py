"""A TCP proxy that makes faults between a client and a server: cut, reset, delay, black hole."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, Self, TypeVar
from urllib.parse import urlsplit, urlunsplit

from penstock.drill.proxy_pair import Pair, Rules, Trap

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType

    from penstock.drill.servers import Address

HOST = "127.0.0.1"
#: A transaction's end, as our pool for PostgreSQL sends it: a simple query.
POSTGRES_COMMIT = b"Q\0\0\0\x0bCOMMIT\0"
#: The same as the driver of Neo4j sends it: Bolt's message 0x12 without fields, in a chunk of its own.
BOLT_COMMIT = b"\0\x02\xb0\x12\0\0"

Result = TypeVar("Result")


class Proxy:
    """Stands before one server, on a port of its own that stays the same; works inside `with`.

    It runs in a thread of its own, so that the caller may block, be in an event loop, or stop the server
    behind it. Every fault is a method; those that last are context managers, and in them one at a time of
    `cut` and `black_hole`. A connection that lost bytes is reset when its fault ends, for it can never be
    sound again. Where the server does not listen, and while `cut`, a new connection is made and reset at
    once: so it can be counted.
    """

    def __init__(self, server: Address, *, seed: int = 0) -> None:
        """`seed` decides which connections are reset at random."""
        self._rules = Rules(host=server.host, port=server.port, chance=random.Random(seed))
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="fault-proxy", daemon=True)
        self._started = threading.Event()
        self._listener: socket.socket
        self._loop: asyncio.AbstractEventLoop
        self._over: asyncio.Event

    def __enter__(self) -> Self:
        self._listener = socket.create_server((HOST, 0), backlog=1000)
        self._thread.start()
        self._started.wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    @property
    def tried(self) -> int:
        """How many connections clients have tried to make."""
        return self._rules.tried

    @property
    def resets(self) -> int:
        """How many connections were reset on purpose."""
        return self._rules.resets

    @property
    def open(self) -> int:
        """How many connections there are now."""
        return len(self._rules.pairs)

    def url(self, url: str) -> str:
        """The server's URL, any database or virtual host of it, by way of this proxy."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}{HOST}:{self.port}"))

    def reset(self) -> None:
        """Reset every connection there is."""
        self._in_loop(self._reset)

    @contextmanager
    def cut(self) -> Iterator[None]:
        """Reset every connection, and refuse new ones."""
        self._in_loop(lambda: self._go("cut"))
        self.reset()
        try:
            yield
        finally:
            self._in_loop(lambda: self._go("pass"))

    @contextmanager
    def black_hole(self) -> Iterator[None]:
        """Swallow what anybody sends, on new connections too: nothing answers, nothing is closed."""
        self._in_loop(lambda: self._go("black_hole"))
        try:
            yield
        finally:
            self._in_loop(lambda: self._go("pass"))

    @contextmanager
    def delay(self, seconds: float) -> Iterator[None]:
        """Let everything take so long, each way; it is not counted for making a connection."""
        self._in_loop(lambda: self._set_latency(seconds))
        try:
            yield
        finally:
            self._in_loop(lambda: self._set_latency(0))

    @contextmanager
    def resetting(self, every: float) -> Iterator[None]:
        """Reset all connections every so many seconds."""
        repeated = self._in_loop(lambda: asyncio.create_task(self._keep_resetting(every)))
        try:
            yield
        finally:
            self._in_loop(repeated.cancel)

    @contextmanager
    def resetting_share(self, share: float) -> Iterator[None]:
        """Reset connections at random: each piece of data from a client is with this chance (0 to 1) its last.

        By another throw the server still gets that piece, or not.
        """
        self._in_loop(lambda: self._set_share(share))
        try:
            yield
        finally:
            self._in_loop(lambda: self._set_share(0))

    @contextmanager
    def trap(
        self, pattern: bytes, then: Literal["reset", "black_hole"], message: Literal["delivered", "swallowed"]
    ) -> Iterator[Trap]:
        """Lay a trap for the first connection on which `pattern` passes to the server; see Trap.

        A black hole lasts until the end of the block: the server does not learn that its client has gone.
        """
        trap = Trap(pattern, then, message)
        self._in_loop(lambda: self._lay(trap))
        try:
            yield trap
        finally:
            self._in_loop(lambda: self._lay(None))

    # In the proxy's own thread.

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        self._rules.idle.set()
        server = await self._loop.create_server(lambda: Pair(self._rules).client, sock=self._listener)
        self._started.set()
        await self._over.wait()
        server.close()
        self._rules.way = "cut"
        for pair in list(self._rules.pairs):
            pair.abort()
        await self._rules.idle.wait()

    def _in_loop(self, function: Callable[[], Result]) -> Result:
        async def call() -> Result:
            return function()

        return asyncio.run_coroutine_threadsafe(call(), self._loop).result()

    def _go(self, way: Literal["pass", "cut", "black_hole"]) -> None:
        self._rules.way = way
        if way == "black_hole":
            for pair in self._rules.pairs:
                pair.swallow()
        if way == "pass":
            self._reset_swallowed()

    def _lay(self, trap: Trap | None) -> None:
        self._rules.trap = trap
        if trap is None:
            self._reset_swallowed()

    def _set_latency(self, seconds: float) -> None:
        self._rules.latency = seconds

    def _set_share(self, share: float) -> None:
        self._rules.reset_share = share

    def _reset(self) -> None:
        for pair in list(self._rules.pairs):
            pair.reset()

    def _reset_swallowed(self) -> None:
        for pair in list(self._rules.pairs):
            if pair.swallows:
                pair.reset()

    async def _keep_resetting(self, every: float) -> None:
        while True:
            await asyncio.sleep(every)
            self._reset()
