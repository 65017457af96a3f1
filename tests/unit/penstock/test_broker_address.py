"""Where the broker is, as the settings say it: one address or several."""

from __future__ import annotations

import pytest

from penstock.broker_address import addresses
from penstock.errors import SettingsError
from penstock.settings import load

END = "?heartbeat=600"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, [f"amqp://guest:guest@localhost:5672/%2F{END}"]),
        (
            {"RABBITMQ_PASSWORD": "p/@ :,", "RABBITMQ_USERNAME": "a b", "RABBITMQ_VHOST": "v/w"},
            [f"amqp://a%20b:p%2F%40%20%3A%2C@localhost:5672/v%2Fw{END}"],
        ),
        ({"RABBITMQ_HOST": "mq:99", "PENSTOCK_RABBITMQ__HEARTBEAT": "5"}, ["amqp://guest:guest@mq:99/%2F?heartbeat=5"]),
        ({"RABBITMQ_HOST": "::1"}, [f"amqp://guest:guest@[::1]:5672/%2F{END}"]),
        ({"RABBITMQ_HOST": "[::1]:99"}, [f"amqp://guest:guest@[::1]:99/%2F{END}"]),
        ({"PENSTOCK_RABBITMQ__TLS": "1"}, [f"amqps://guest:guest@localhost:5671/%2F{END}"]),
        ({"PENSTOCK_RABBITMQ__TLS": "1", "RABBITMQ_PORT": "9"}, [f"amqps://guest:guest@localhost:9/%2F{END}"]),
        ({"RABBITMQ_URL": "amqp://u:p@h/v", "RABBITMQ_HOST": "other"}, [f"amqp://u:p@h/v{END}"]),
        ({"RABBITMQ_URL": "amqp://"}, ["amqp://?heartbeat=600"]),
        ({"RABBITMQ_URL": "amqps://h/v?heartbeat=7"}, ["amqps://h/v?heartbeat=7"]),
        ({"RABBITMQ_URL": "amqps://h/v?cafile=x"}, ["amqps://h/v?cafile=x&heartbeat=600"]),
        # The first letter of scheme, user and host is the same.
        ({"RABBITMQ_URL": "amqp://a:a@a,a2"}, [f"amqp://a:a@a{END}", f"amqp://a:a@a2{END}"]),
        (
            {"RABBITMQ_HOST": "a, b:5673,[::1]", "RABBITMQ_PORT": "9"},
            [f"amqp://guest:guest@{place}/%2F{END}" for place in ("a:9", "b:5673", "[::1]:9")],
        ),
        (
            {"RABBITMQ_URL": "amqps://u:p%2Cq@a:1,b,[::1]:3/v?x=1,2"},
            [f"amqps://u:p%2Cq@{host}/v?x=1,2&heartbeat=600" for host in ("a:1", "b", "[::1]:3")],
        ),
    ],
)
def test_the_brokers_urls(environ: dict[str, str], expected: list[str]) -> None:
    assert [address.url for address in addresses(load(None, None, environ).rabbitmq)] == expected


def test_a_place_is_host_and_port_whoever_named_the_port() -> None:
    def places(url: str, first: str = "") -> list[str]:
        settings = load(None, None, {"RABBITMQ_URL": url}).rabbitmq
        return [address.place for address in addresses(settings, first)]

    assert places("amqp://u:p@a:1,b,[::1]:3,::1/v") == ["a:1", "b:5672", "[::1]:3", "[::1]:5672"]
    assert places("amqps://a,b:9") == ["a:5671", "b:9"]
    assert places("amqp://a,b,c", "b:5672") == ["b:5672", "c:5672", "a:5672"]
    assert places("amqp://a,b,c", "gone:1") == ["a:5672", "b:5672", "c:5672"]


def test_an_address_shows_no_password() -> None:
    [address] = addresses(load(None, None, {"RABBITMQ_URL": "amqp://me:Tr0ub4dor@a"}).rabbitmq)
    assert "Tr0ub4dor" not in repr(address)


@pytest.mark.parametrize("hosts", ["a,,b", "a,", "a, b c", "a,b:99999", "amqp://a,b"])
def test_each_host_is_checked(hosts: str) -> None:
    with pytest.raises(SettingsError, match=r"^RABBITMQ_HOST "):
        load(None, None, {"RABBITMQ_HOST": hosts})
