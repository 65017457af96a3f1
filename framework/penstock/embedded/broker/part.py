"""The broker of the stack: the development broker, as the stack prepares, starts, reaches and stops it."""

from __future__ import annotations

import asyncio
import signal
import sys
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import quote

from pamqp.commands import Channel, Connection, Exchange

from penstock.embedded.broker.frames import METHOD, PROTOCOL_HEADER, Splitter, method_frame, read_method
from penstock.embedded.broker.login import Login, write_login
from penstock.embedded.broker.server import HOST, LOGIN
from penstock.embedded.part import Command
from penstock.errors import LinkError

if TYPE_CHECKING:
    from pamqp.base import Frame
    from pamqp.common import FieldTable

    from penstock.embedded.part import Place

#: Seconds that it may take to answer.
PING_TIMEOUT = 5.0
#: Bytes of one read; all answers to a ping together are smaller.
_CHUNK = 65_536


class BrokerPart:
    """The development broker: its folder holds the login and the journal."""

    name = "broker"
    username = "penstock"
    variable = "RABBITMQ_URL"
    stop_signal = signal.SIGTERM

    def url(self, place: Place) -> str:
        """The value of RABBITMQ_URL, password included."""
        login = f"{quote(place.username, safe='')}:{quote(place.password, safe='')}"
        return f"amqp://{login}@{HOST}:{place.port}/"

    def prepare(self, place: Place) -> None:
        """Write the login where the broker reads it. Raises StackError."""
        write_login(place.folder / LOGIN, Login(place.username, place.password))

    def command(self, place: Place) -> Command:
        """How to start it. It runs on the Python that runs this, and on nothing that lies in its folder."""
        return Command((sys.executable, "-P", "-m", __package__ or "", str(place.folder), str(place.port)))

    async def ping(self, place: Place) -> None:
        """Log in, open a channel and ask for an exchange. Raises OSError, TimeoutError, LinkError."""
        async with asyncio.timeout(PING_TIMEOUT):
            reader, writer = await asyncio.open_connection(HOST, place.port)
            with closing(writer):
                await _ask(reader, writer, place)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, place: Place) -> None:
    properties: FieldTable = {
        "capabilities": {"authentication_failure_close": True},
        "connection_name": "penstock stack",
    }
    response = f"\0{place.username}\0{place.password}"
    conversation: list[tuple[list[bytes], type[Frame]]] = [
        ([PROTOCOL_HEADER], Connection.Start),
        ([method_frame(0, Connection.StartOk(properties, "PLAIN", response, "en_US"))], Connection.Tune),
        ([method_frame(0, Connection.TuneOk()), method_frame(0, Connection.Open())], Connection.OpenOk),
        ([method_frame(1, Channel.Open())], Channel.OpenOk),
        ([method_frame(1, Exchange.Declare(exchange="amq.direct", passive=True))], Exchange.DeclareOk),
        ([method_frame(0, Connection.Close(200, "", 0, 0))], Connection.CloseOk),
    ]
    splitter = Splitter()
    for frames, expected in conversation:
        writer.writelines(frames)
        answers: list[Frame] = []
        while not answers:
            data = await reader.read(_CHUNK)
            if not data:
                raise LinkError("the broker hung up")
            answers = [read_method(payload) for kind, _, payload in splitter.split(data) if kind == METHOD]
        match answers:
            case [answer] if isinstance(answer, expected):
                pass
            case [Connection.Close(reply_text=text) | Channel.Close(reply_text=text), *_]:
                raise LinkError(f"the broker refuses: {text}")
            case _:
                raise LinkError(f"the broker answers with {answers[0].name} instead of {expected.name}")
