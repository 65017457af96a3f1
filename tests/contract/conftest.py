"""Fixtures of the contract tests."""

from __future__ import annotations

import secrets

import pytest

from penstock.drill.servers import Address


@pytest.fixture
def broker(each_url: str) -> Address:
    """Where a broker answers: RabbitMQ, in a virtual host of the test's own, and the development broker."""
    return Address(each_url)


@pytest.fixture
def name() -> str:
    """A name for queues and exchanges that no other test has."""
    return f"probe-{secrets.token_hex(4)}"
