"""The handshake of a connection: login, tuning, virtual host."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Literal

from pamqp.commands import Connection

from penstock.embedded.broker.frames import LARGEST_FRAME, SMALLEST_FRAME
from penstock.embedded.broker.replies import ACCESS_REFUSED, COMMAND_INVALID, NOT_ALLOWED, ConnectionFault

if TYPE_CHECKING:
    from pamqp.base import Frame
    from pamqp.common import FieldTable

    from penstock.embedded.broker.login import Login

#: Seconds between heartbeats that the broker proposes, and the most channels a connection may have.
HEARTBEAT = 60
CHANNEL_MAX = 2047
_CAPABILITIES: FieldTable = {
    "publisher_confirms": True,
    "exchange_exchange_bindings": True,
    "basic.nack": True,
    "consumer_cancel_notify": True,
    "connection.blocked": True,
    "per_consumer_qos": True,
    "authentication_failure_close": True,
}


class LoginRefused(ConnectionFault):
    """The client gave another user or password."""


class Handshake:
    """Answers the client's methods until the connection is open, and knows what was agreed on."""

    def __init__(self, login: Login) -> None:
        self._login = login
        self._awaits: Literal["StartOk", "TuneOk", "Open", "nothing"] = "StartOk"
        self.capabilities: FieldTable = {}
        self.name = ""
        self.channel_max = CHANNEL_MAX
        self.largest_frame = LARGEST_FRAME
        #: Seconds; 0 for none.
        self.heartbeat = 0

    @property
    def done(self) -> bool:
        """Whether the connection is open."""
        return self._awaits == "nothing"

    @property
    def username(self) -> str:
        """Who is logged in once the connection is open."""
        return self._login.username

    def greeting(self) -> Frame:
        """What the broker says first."""
        properties: FieldTable = {
            "product": "Penstock development broker",
            "version": version("penstock"),
            "platform": f"Python {platform.python_version()}",
            "information": "for demos and development on one machine",
            "capabilities": _CAPABILITIES,
        }
        return Connection.Start(0, 9, properties, "PLAIN", "en_US")

    def answer(self, method: Frame) -> Frame | None:
        """The answer to the client's next step, None where there is none. Raises ConnectionFault, LoginRefused."""
        match self._awaits, method:
            case "StartOk", Connection.StartOk():
                self._log_in(method)
                self._awaits = "TuneOk"
                return Connection.Tune(CHANNEL_MAX, LARGEST_FRAME, HEARTBEAT)
            case "TuneOk", Connection.TuneOk():
                self.channel_max = _agreed("channel_max", method.channel_max, 1, CHANNEL_MAX)
                self.largest_frame = _agreed("frame_max", method.frame_max, SMALLEST_FRAME, LARGEST_FRAME)
                self.heartbeat = method.heartbeat or 0
                self._awaits = "Open"
                return None
            case "Open", Connection.Open():
                if method.virtual_host != "/":
                    text = f"vhost {method.virtual_host} not found: the development broker has the one named / only"
                    raise ConnectionFault(NOT_ALLOWED, text)
                self._awaits = "nothing"
                return Connection.OpenOk()
            case _:
                raise ConnectionFault(COMMAND_INVALID, f"{method.name} where Connection.{self._awaits} was expected")

    def _log_in(self, method: Connection.StartOk) -> None:
        properties = method.client_properties or {}
        capabilities = properties.get("capabilities")
        self.capabilities = capabilities if isinstance(capabilities, dict) else {}
        name = properties.get("connection_name")
        self.name = name if isinstance(name, str) else ""
        if method.mechanism != "PLAIN":
            raise ConnectionFault(COMMAND_INVALID, f"unknown authentication mechanism '{method.mechanism}'")
        # pamqp leaves bytes as they are where they are no UTF-8.
        response = method.response or ""
        if not self._login.admits(response.encode() if isinstance(response, str) else response):
            text = "Login was refused using authentication mechanism PLAIN"
            raise LoginRefused(ACCESS_REFUSED, text)


def _agreed(name: str, asked: int | None, lowest: int, highest: int) -> int:
    """What a client asked for; 0 leaves it to the broker. Raises ConnectionFault, as RabbitMQ does."""
    if not asked:
        return highest
    if not lowest <= asked <= highest:
        raise ConnectionFault(NOT_ALLOWED, f"negotiated {name} = {asked} is not from {lowest} to {highest}")
    return asked
