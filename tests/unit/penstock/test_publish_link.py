"""Publishes that wait for the same connection share the failure to open it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import penstock.publish_link
from penstock.errors import LinkError
from penstock.publish_link import PublishLink, properties_of
from penstock.reader import Outgoing
from penstock.settings import RabbitMQ

if TYPE_CHECKING:
    import pytest

    from penstock.blockage import Blockage


async def test_a_hundred_publishes_without_a_broker_are_one_attempt(monkeypatch: pytest.MonkeyPatch) -> None:
    attempts = 0

    async def away(_settings: RabbitMQ, _name: str, _first: str, _blockage: Blockage) -> None:
        nonlocal attempts
        attempts += 1
        await asyncio.sleep(0)
        text = f"away, attempt {attempts}"
        raise LinkError(text)

    monkeypatch.setattr(penstock.publish_link, "connect", away)
    link = PublishLink(RabbitMQ(), "test")
    properties = properties_of(Outgoing("shop", "order", b""))

    async def together() -> set[str]:
        properties.message_id = None  # those with the same id would wait for each other
        tries = [link.publish("shop", "order", b"", properties) for _ in range(100)]
        return {str(error) for error in await asyncio.gather(*tries, return_exceptions=True)}

    async def one_by_one() -> set[str]:
        """Those with the same id wait for each other."""
        properties.message_id = "same"
        tries = [link.publish("shop", "order", b"", properties) for _ in range(100)]
        return {str(error) for error in await asyncio.gather(*tries, return_exceptions=True)}

    assert await together() == {"away, attempt 1"}
    assert await together() == {"away, attempt 2"}
    assert await one_by_one() == {"away, attempt 3"}
