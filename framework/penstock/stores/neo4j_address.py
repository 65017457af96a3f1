"""Where a graph is: bolt://user:password@host:port/database, taken apart and put together."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

from penstock.addresses import split_host
from penstock.errors import SettingsError
from penstock.settings import backup_urls
from penstock.sink import Endpoint

if TYPE_CHECKING:
    from penstock.settings import Neo4j

SCHEMES = frozenset({"bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc"})
DEFAULT_PORT = 7687
DEFAULT_DATABASE = "neo4j"


class Login(NamedTuple):
    """Name and password, both not yet quoted."""

    username: str
    password: str


@dataclass(frozen=True, slots=True)
class Address:
    """One graph database. `login` None is a server without authentication; `query` the routing context of neo4j://."""

    scheme: str
    host: str
    port: int
    database: str
    login: Login | None = field(repr=False)
    query: str = ""

    @classmethod
    def of_settings(cls, settings: Neo4j) -> Address:
        """The address the settings describe; what NEO4J_URL or NEO4J_HOST leaves out comes from the other settings.

        Raises SettingsError, without quoting a URL: it may hold a password.
        """
        name, url = "NEO4J_HOST", settings.host
        if settings.url is not None:
            name, url = "NEO4J_URL", settings.url.get_secret_value()
        elif "://" not in url:
            url = "bolt://{}:{}".format(*split_host(settings.host, settings.port))
        return cls._with_settings(url, name, settings, settings.port)

    @classmethod
    def backups_of_settings(cls, settings: Neo4j) -> list[Address]:
        """The backups, in the order given; login and database are the primary's where their URLs name none.

        Raises SettingsError as of_settings does.
        """
        urls = backup_urls(settings)
        return [cls._with_settings(url, "NEO4J_BACKUP_URL", settings, DEFAULT_PORT) for url in urls]

    @classmethod
    def _with_settings(cls, url: str, name: str, settings: Neo4j, port: int) -> Address:
        password = settings.password.get_secret_value()
        login = Login(settings.username, password) if password else None
        return _parse(url, name=name, port=port, database=settings.database, login=login)

    @classmethod
    def of_endpoint(cls, endpoint: Endpoint) -> Address:
        """The address an endpoint holds. Raises SettingsError."""
        name = f"the address of {endpoint.name}"
        return _parse(endpoint.url, name=name, port=DEFAULT_PORT, database=DEFAULT_DATABASE, login=None)

    @property
    def uri(self) -> str:
        """What the driver connects to: no login, no database."""
        return f"{self.scheme}://{self._server}{'?' if self.query else ''}{self.query}"

    @property
    def endpoint(self) -> Endpoint:
        """The same as an endpoint; its name shows host, port and database."""
        login = "" if self.login is None else ":".join(quote(part, safe="") for part in self.login) + "@"
        rest = f"/{quote(self.database, safe='')}{'?' if self.query else ''}{self.query}"
        return Endpoint(f"{self._server}/{self.database}", f"{self.scheme}://{login}{self._server}{rest}")

    @property
    def _server(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def _parse(url: str, *, name: str, port: int, database: str, login: Login | None) -> Address:
    parts = _split(url)
    if parts is None or not parts.hostname or "/" in parts.path.strip("/"):
        # Never with the text of the parser's error: it quotes the address, password and all.
        raise SettingsError(
            f"{name} cannot be read: it looks like HOST, HOST:PORT or bolt://USER:PASSWORD@HOST:7687/DATABASE, "
            "with special characters in it percent-encoded"
        )
    if parts.scheme not in SCHEMES:
        raise SettingsError(f"{name} has the scheme {parts.scheme!r}: use one of {', '.join(sorted(SCHEMES))}")
    return Address(
        scheme=parts.scheme,
        host=parts.hostname,
        port=parts.port or port,
        database=unquote(parts.path.strip("/")) or database,
        login=Login(unquote(parts.username), unquote(parts.password or "")) if parts.username else login,
        query=parts.query,
    )


def _split(url: str) -> SplitResult | None:
    """None for a URL whose parts cannot be told, as with a password that holds a bare /, ?, # or @."""
    try:
        parts = urlsplit(url)
        told = parts.port != 0 and not parts.fragment and not set("@:") & set(parts.path + parts.query)
    except ValueError:
        return None
    return parts if told and parts.netloc.count("@") <= 1 else None
