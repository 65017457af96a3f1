"""Fixtures of the outage tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers import Server


@pytest.fixture
def server(own_rabbitmq: Server) -> Iterator[Server]:
    """A broker that the test may stop, kill and freeze; the next test finds it running."""
    yield own_rabbitmq
    own_rabbitmq.thaw()
    own_rabbitmq.start()
