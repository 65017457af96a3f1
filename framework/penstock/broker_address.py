"""The addresses of the broker: one, or several that are tried in turn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote

from penstock.addresses import each_host, host_of, split_host, with_query

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.settings import RabbitMQ

#: Where a broker answers as a rule, and where with TLS.
PORT = 5672
TLS_PORT = 5671


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """One host. `place` is its "host:port", for people; `url` is for the client library and holds the password."""

    place: str
    url: str = field(repr=False)


def addresses(settings: RabbitMQ, first: str = "") -> list[BrokerAddress]:
    """Every address in the order of the settings, going round from the one whose place is `first`."""
    found = [BrokerAddress(_place(url), url) for url in _urls(settings)]
    start = next((index for index, address in enumerate(found) if address.place == first), 0)
    return found[start:] + found[:start]


def _urls(settings: RabbitMQ) -> Iterator[str]:
    if settings.url is not None:
        for url in each_host(settings.url.get_secret_value()):
            yield with_query(url, "heartbeat", str(settings.heartbeat))
        return
    usual = TLS_PORT if settings.tls and "port" not in settings.model_fields_set else settings.port
    login = f"{quote(settings.username, safe='')}:{quote(settings.password.get_secret_value(), safe='')}"
    scheme = "amqps" if settings.tls else "amqp"
    virtual_host = quote(settings.virtual_host, safe="")
    for one in settings.host.split(","):
        host, port = split_host(one, usual)
        yield f"{scheme}://{login}@{host}:{port}/{virtual_host}?heartbeat={settings.heartbeat}"


def _place(url: str) -> str:
    host, port = split_host(host_of(url), TLS_PORT if url.startswith("amqps:") else PORT)
    return f"{host}:{port}"
