"""Where a server answers, and as whom to ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Address:
    """A server's URL, user and password included, taken apart. `management_url` is RabbitMQ's HTTP API, else empty."""

    url: str = field(repr=False)
    management_url: str = field(default="", repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or "127.0.0.1"

    @property
    def port(self) -> int:
        port = urlsplit(self.url).port
        if port is None:
            message = f"the address of {self.host} names no port: write scheme://user:password@host:port"
            raise ValueError(message)
        return port

    @property
    def username(self) -> str:
        return unquote(urlsplit(self.url).username or "")

    @property
    def password(self) -> str:
        return unquote(urlsplit(self.url).password or "")

    @property
    def database(self) -> str:
        """The name of the database or virtual host."""
        return unquote(urlsplit(self.url).path.removeprefix("/"))

    @property
    def without_login(self) -> str:
        """The URL for a driver of Neo4j, which takes user, password and database apart from it."""
        return f"{urlsplit(self.url).scheme}://{self.host}:{self.port}"

    def within(self, name: str) -> str:
        """The URL of one database or virtual host on this server."""
        return urlunsplit(urlsplit(self.url)._replace(path=f"/{name}"))
