"""The servers of the embedded stack, for machines that have no others."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import NativeServer
from penstock.drill.servers.server import Unavailable
from penstock.embedded.broker import BrokerPart
from penstock.embedded.graph import GraphPart
from penstock.embedded.part import Place, environment
from penstock.embedded.ports import free_ports
from penstock.embedded.postgres import PostgresPart
from penstock.errors import PenstockError

if TYPE_CHECKING:
    from penstock.embedded.part import Part

PASSWORD = "penstock-test"


def development_broker() -> NativeServer:
    """A broker of its own that has no management API and one virtual host. Raises Unavailable."""
    return embedded_server(BrokerPart())


def embedded_postgres() -> NativeServer:
    """A PostgreSQL of its own. Raises Unavailable."""
    return embedded_server(PostgresPart())


def embedded_graph() -> NativeServer:
    """An ArcadeDB of its own. Raises Unavailable."""
    return embedded_server(GraphPart())


def embedded_server(part: Part) -> NativeServer:
    """One server of the stack, prepared and not yet started. Raises Unavailable."""
    folder = Folder(part.name)
    [port] = free_ports(1)
    place = Place(folder.path / "server", port, part.username, PASSWORD)
    place.folder.mkdir(mode=0o700)
    try:
        part.prepare(place)
        command = part.command(place)
    except PenstockError as error:
        folder.remove()
        raise Unavailable(str(error)) from error
    return NativeServer(
        address=Address(part.url(place)),
        daemon=Daemon(command.words, folder=place.folder, log=folder.path / "log", environment=environment(command)),
        answers=lambda _: _answers(part, place),
        stop_signal=part.stop_signal,
        folder=folder,
    )


def _answers(part: Part, place: Place) -> bool:
    # In a thread of its own: a test that starts a server may be in a running loop.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(_ping(part, place))).result()


async def _ping(part: Part, place: Place) -> bool:
    with suppress(Exception):
        await asyncio.wait_for(part.ping(place), 5)
        return True
    return False
