"""What is deployed: the settings of pods, and what follows from them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from penstock.errors import UsageError
from penstock.sink import Endpoint
from support.deployed import GRAPH, TABLE, deployed

if TYPE_CHECKING:
    from penstock.settings import Settings


def test_a_server_that_nobody_named_is_the_service_of_its_name() -> None:
    settings = deployed().settings
    assert (settings.rabbitmq.host, settings.postgres.host, settings.neo4j.host) == ("rabbitmq", "postgres", "neo4j")
    # RabbitMQ would not let `guest` in from another host.
    assert settings.rabbitmq.username == "penstock"


def test_what_was_said_stays() -> None:
    settings = deployed(
        RABBITMQ_HOST="localhost", RABBITMQ_USERNAME="guest", POSTGRES_URL="postgresql://a@b/c"
    ).settings
    assert (settings.rabbitmq.host, settings.rabbitmq.username) == ("localhost", "guest")
    assert settings.postgres.host == "localhost"
    assert settings.postgres.url is not None


@pytest.mark.parametrize(
    ("url", "systems"),
    [
        ("postgres://host/orders", ("postgres",)),
        ("neo4j+s://host", ("neo4j",)),
        ("redis://host", ()),
        ("/var/notes.sqlite", ()),
    ],
)
def test_the_systems_of_a_sink_are_told_by_its_addresses(url: str, systems: tuple[str, ...]) -> None:
    assert deployed(replace(TABLE, endpoints=lambda _: [Endpoint("one", url)])).systems == systems


def test_endpoints_that_cannot_be_told_are_an_error_that_names_the_worker() -> None:
    def broken(_settings: Settings) -> list[Endpoint]:
        raise KeyError("SHOP_NOTES")

    with pytest.raises(UsageError, match=r"worker orders: its endpoints cannot be told: KeyError: 'SHOP_NOTES'"):
        _ = deployed(replace(TABLE, endpoints=broken)).endpoints


def test_the_port_is_the_worker_s_or_that_of_the_settings_and_never_any_free_one() -> None:
    assert deployed(replace(GRAPH, port=8001)).port == 8001
    assert deployed(replace(GRAPH, port=8001), PENSTOCK_HTTP__PORT="9000").port == 9000
    assert deployed(GRAPH).port == deployed(GRAPH, PENSTOCK_HTTP__PORT="0").port == 8080


@pytest.mark.parametrize(("drain", "grace"), [("25", 35), ("25.2", 36), ("120", 130)])
def test_the_grace_is_above_the_drain_limit(drain: str, grace: int) -> None:
    assert deployed(PENSTOCK_LIMITS__DRAIN_SECONDS=drain).grace_seconds == grace


def test_the_prefetch_is_that_of_the_link() -> None:
    assert deployed(PENSTOCK_QUEUE__PREFETCH="1500").prefetch == 1500
    assert deployed(PENSTOCK_QUEUE__PREFETCH="1500", PENSTOCK_BATCH__COUNT="1000").prefetch == 2000
