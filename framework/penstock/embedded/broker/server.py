"""The process: holds the journal and the port until it is asked to stop, or cannot go on."""

from __future__ import annotations

import asyncio
import os
import signal
from contextlib import closing
from typing import TYPE_CHECKING

from penstock.embedded.broker.broker import Broker
from penstock.embedded.broker.connection import ClientConnection
from penstock.embedded.broker.events import say
from penstock.embedded.broker.login import read_login
from penstock.embedded.broker.replies import CONNECTION_FORCED, reply_text
from penstock.embedded.broker.store import Store
from penstock.errors import StackError
from penstock.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

#: The files in the broker's folder.
LOGIN = "login"
JOURNAL = "journal.sqlite"
#: It listens nowhere else.
HOST = "127.0.0.1"
#: Seconds that clients get to say goodbye.
GOODBYE = 1.0


async def serve(folder: Path, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises JournalError, StackError."""
    login = read_login(folder / LOGIN)
    loop = asyncio.get_running_loop()
    with closing(Journal(folder / JOURNAL)) as journal:
        broker = Broker(Store(journal))
        connections: set[ClientConnection] = set()
        try:
            server = await loop.create_server(lambda: ClientConnection(broker, login, connections), HOST, port)
        except OSError as error:
            # asyncio makes a sentence of its own of what the system says.
            why = os.strerror(error.errno or 0)
            text = f"the broker cannot listen on port {port} of {HOST}: {why}: end what listens there"
            raise StackError(f"{text}, or give the broker another port") from error
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
        say("broker_started", port=port, queues=len(broker.queues), messages=sum(map(len, broker.queues.values())))
        try:
            await _until(stopped, broker)
        finally:
            server.close()
            broker.stopping = True
        await _say_goodbye(connections)
        broker.commit()
        say("broker_stopped")


async def _until(stopped: asyncio.Event, broker: Broker) -> None:
    """Return when it is asked to stop. Raises JournalError when it cannot go on."""
    stopping = asyncio.create_task(stopped.wait())
    await asyncio.wait((stopping, broker.failed), return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    if broker.failed.done():
        broker.failed.result()


async def _say_goodbye(connections: set[ClientConnection]) -> None:
    text = reply_text(CONNECTION_FORCED, "broker forced connection closure with reason 'shutdown'")
    for connection in connections:
        connection.close(CONNECTION_FORCED, text)
    if connections:
        await asyncio.wait([connection.ended for connection in connections], timeout=GOODBYE)
