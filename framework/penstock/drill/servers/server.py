"""What a test may do with a server."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, NoReturn, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers.address import Address


class Unavailable(Exception):
    """A server cannot be had here; the text says what is missing and how to get it."""


class Server(Protocol):
    """A server of the tests. Ports and data outlive stop and kill, until close.

    All calls wait until the thing is done; where the event loop must go on meanwhile, use `asyncio.to_thread`.
    """

    @property
    def address(self) -> Address:
        """Where it answers."""

    @property
    def url(self) -> str:
        """The address with user and password."""

    def start(self) -> None:
        """Start it and wait until it serves. Does nothing where it runs."""

    def stop(self) -> None:
        """End it cleanly."""

    def kill(self) -> None:
        """End it as `kill -9` does."""

    def freeze(self) -> None:
        """Stop it in its tracks: connections stay, nothing answers."""

    def thaw(self) -> None:
        """Let a frozen server go on."""

    def control(self, *words: str) -> str:
        """Run RabbitMQ's administration tool (rabbitmqctl) beside it; its output.

        Raises RuntimeError where the tool fails, Unavailable where the server has none.
        """

    def close(self) -> None:
        """End it in any way and remove its data."""


Running = TypeVar("Running", bound=Server)


@contextmanager
def running(server: Running) -> Iterator[Running]:
    """Start a server, and close it at the end of the block."""
    try:
        server.start()
        yield server
    finally:
        server.close()


@dataclass(frozen=True, slots=True)
class Given:
    """A server somebody else runs: it can be used, not controlled."""

    address: Address

    @property
    def url(self) -> str:
        return self.address.url

    def start(self) -> None:
        self._refuse()

    def stop(self) -> None:
        self._refuse()

    def kill(self) -> None:
        self._refuse()

    def freeze(self) -> None:
        self._refuse()

    def thaw(self) -> None:
        self._refuse()

    def control(self, *words: str) -> str:  # noqa: ARG002 whatever it is
        self._refuse()

    def close(self) -> None:
        """Leave it as it is."""

    def _refuse(self) -> NoReturn:
        message = f"the server at {self.address.host} was given by environment: a test cannot control it (use own_*)"
        raise Unavailable(message)
