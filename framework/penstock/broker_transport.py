"""The socket under a connection to the broker: kept alive, and read by our own receiver.

The client library's transport is the place it leaves to others: it takes connection.blocked and tells nobody, and a
delivery costs it more than all else that is done with it (receive.py).
"""

from __future__ import annotations

import asyncio
from functools import cache
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog
from aiormq.connection import TransportFactory

from penstock.broker_address import PORT, TLS_PORT
from penstock.keepalive import keep_alive
from penstock.receive import Receiver
from penstock.throttle import Throttle

if TYPE_CHECKING:
    from yarl import URL

    from penstock.blockage import Blockage

log = structlog.get_logger(__name__)

#: The versions of aiormq, as "major.minor", that were seen to miss nothing when deliveries, and what is published and
#: confirmed, go past them.
TESTED = frozenset({"7.2"})


class Wire(NamedTuple):
    """Both ends of a socket that others use as well; what is written are whole messages."""

    receiver: Receiver
    writer: asyncio.StreamWriter


class Transport(TransportFactory):
    """Opens the socket of one connection; what the broker says of taking messages goes to `blockage`.

    `receiver` then takes deliveries, where `fast_receive` asks for it and the client library is one it was tested with;
    `wire` is there in the same way where `fast_publish` asks for it. `throttle` holds up what comes.
    """

    def __init__(self, blockage: Blockage | None, *, fast_receive: bool, fast_publish: bool) -> None:
        self._blockage = blockage
        self._fast_receive = fast_receive and is_tested(version("aiormq"))
        self._fast_publish = fast_publish and is_tested(version("aiormq"))
        self.receiver: Receiver | None = None
        self.wire: Wire | None = None
        self.throttle = Throttle()

    async def create(self, url: URL, **kwargs: Any) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Connect. Raises OSError, of which ssl.SSLError is one."""
        certificates = kwargs.pop("ssl_context_provider")
        context = await certificates.get_context() if url.scheme == "amqps" else None
        host, port = url.host or "localhost", url.port or (PORT if context is None else TLS_PORT)
        loop = asyncio.get_running_loop()
        reader = Receiver(self._blockage, self.throttle)
        if self._fast_receive:
            self.receiver = reader
        protocol = asyncio.StreamReaderProtocol(reader)
        transport, _ = await loop.create_connection(lambda: protocol, host, port, ssl=context, **kwargs)
        keep_alive(transport.get_extra_info("socket"))
        writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        if self._fast_publish:
            self.wire = Wire(reader, writer)
        return reader, writer


@cache
def is_tested(found: str) -> bool:
    """Whether messages may go past this version of aiormq, in and out. Says so once where they may not."""
    tested = found.rpartition(".")[0] in TESTED
    if not tested:
        log.warning("plain_broker_path", aiormq=found, tested=sorted(TESTED))
    return tested
