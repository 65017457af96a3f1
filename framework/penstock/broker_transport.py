"""The socket under a connection to the broker: kept alive, and listened to.

The client library takes connection.blocked and tells nobody but its own log; its transport is the place it leaves
to others.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Any

from aiormq.connection import TransportFactory

from penstock.broker_address import PORT, TLS_PORT
from penstock.keepalive import keep_alive

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import SupportsIndex

    from yarl import URL

    from penstock.blockage import Blockage

#: Before the payload of a frame: its type, its channel, its length in bytes. One byte stands behind it.
_FRAME = struct.Struct(">BHI")
#: Frames of this type carry a method; its class and number come first in the payload.
_METHOD = 1
_CLASS_AND_NUMBER = struct.Struct(">HH")
_BLOCKED = (10, 60)
_UNBLOCKED = (10, 61)


class Transport(TransportFactory):
    """Opens the sockets of connections; what the broker says of taking messages goes to `blockage`."""

    def __init__(self, blockage: Blockage | None) -> None:
        self._blockage = blockage

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. Raises OSError, of which ssl.SSLError is one."""
        certificates = kwargs.pop("ssl_context_provider")
        context = await certificates.get_context() if url.scheme == "amqps" else None
        host, port = url.host or "localhost", url.port or (PORT if context is None else TLS_PORT)
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader() if self._blockage is None else _Listening(self._blockage)
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=context, **kwargs)
        keep_alive(transport.get_extra_info("socket"))
        return reader, asyncio.StreamWriter(transport, protocol, reader, loop)


class _Listening(asyncio.StreamReader):
    """A reader that hears, of all that comes in, whether the connection is blocked."""

    def __init__(self, blockage: Blockage) -> None:
        super().__init__()
        self._blockage = blockage
        self._notices = Notices()

    def feed_data(self, data: Iterable[SupportsIndex]) -> None:
        for reason in self._notices.feed(bytes(data)):
            if reason is None:
                self._blockage.end(self)
            else:
                self._blockage.begin(self, reason)
        super().feed_data(data)

    def feed_eof(self) -> None:
        self._blockage.end(self)
        super().feed_eof()

    def set_exception(self, exc: Exception) -> None:
        self._blockage.end(self)
        super().set_exception(exc)


class Notices:
    """Finds connection.blocked and connection.unblocked in the bytes that a broker sends."""

    def __init__(self) -> None:
        self._held = bytearray()

    def feed(self, data: bytes) -> Iterator[str | None]:
        """Yield, for each notice that is complete with `data`, why the connection is blocked; None: it is no more."""
        self._held += data
        start = 0
        while len(self._held) - start >= _FRAME.size:
            kind, channel, size = _FRAME.unpack_from(self._held, start)
            end = start + _FRAME.size + size + 1
            if end > len(self._held):
                break
            if kind == _METHOD and channel == 0:
                payload = bytes(self._held[start + _FRAME.size : end - 1])
                method = _CLASS_AND_NUMBER.unpack_from(payload)
                if method == _BLOCKED:
                    # A short string: one byte for its length, which is all that is left.
                    yield payload[_CLASS_AND_NUMBER.size + 1 :].decode(errors="replace")
                elif method == _UNBLOCKED:
                    yield None
            start = end
        del self._held[:start]
