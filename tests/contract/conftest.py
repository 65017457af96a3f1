"""Fixtures of the contract tests."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from penstock.drill.servers import Address, running
from penstock.drill.servers.embedded import development_broker
from penstock.drill.servers.management import Management

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers import Server


@pytest.fixture(scope="module")
def development() -> Iterator[Server]:
    """The development broker, for all tests of one file."""
    with running(development_broker()) as server:
        yield server


@pytest.fixture(
    params=[
        pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
        pytest.param("rabbitmq4", marks=pytest.mark.rabbitmq),
        "development",
    ]
)
def broker(request: pytest.FixtureRequest) -> Iterator[Address]:
    """Where a broker answers: RabbitMQ, in a virtual host of the test's own, and the development broker."""
    if request.param == "development":
        found: Server = request.getfixturevalue("development")
        yield found.address
        return
    real: Server = request.getfixturevalue(request.param)
    with Management(real.address) as management, management.virtual_host() as virtual_host:
        yield Address(real.address.within(virtual_host))


@pytest.fixture
def name() -> str:
    """A name for queues and exchanges that no other test has."""
    return f"probe-{secrets.token_hex(4)}"
