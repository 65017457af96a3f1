"""Whose reader a connection gets."""

from __future__ import annotations

import asyncio
from importlib.metadata import version
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs
from yarl import URL

from penstock import broker_transport
from penstock.blockage import unheard
from penstock.broker_transport import TESTED, Transport, is_tested
from penstock.receive import Receiver

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.blockage import Blockage


class NoCertificates:
    async def get_context(self) -> None:
        raise AssertionError("asked for certificates without TLS")


async def reader_of(transport: Transport) -> asyncio.StreamReader:
    async def serve(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await transport.create(URL(f"amqp://127.0.0.1:{port}/"), ssl_context_provider=NoCertificates())
        writer.close()
        await writer.wait_closed()
    return reader


@pytest.fixture(autouse=True)
def unasked() -> Iterator[None]:
    """No version has been asked for."""
    is_tested.cache_clear()
    yield
    is_tested.cache_clear()


def test_this_version_is_tested() -> None:
    with capture_logs() as logs:
        assert is_tested(version("aiormq"))
    assert logs == []


def test_of_another_it_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broker_transport, "version", lambda _: "7.20.1")
    with capture_logs() as logs:
        for _ in range(3):
            Transport(None, fast_receive=True, fast_publish=True)
    assert logs == [
        {"event": "plain_broker_path", "log_level": "warning", "aiormq": "7.20.1", "tested": sorted(TESTED)}
    ]


@pytest.mark.parametrize("blockage", [None, unheard()])
@pytest.mark.parametrize("receives", [False, True])
@pytest.mark.parametrize("publishes", [False, True])
async def test_messages_go_past_the_client_library_where_that_is_asked_for(
    blockage: Blockage | None, *, receives: bool, publishes: bool
) -> None:
    transport = Transport(blockage, fast_receive=receives, fast_publish=publishes)
    reader = await reader_of(transport)
    assert isinstance(reader, Receiver)
    assert transport.receiver is (reader if receives else None)
    assert (transport.wire.receiver if transport.wire else None) is (reader if publishes else None)


@pytest.mark.parametrize("blockage", [None, unheard()])
async def test_of_another_version_they_are_left_to_it(
    blockage: Blockage | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(broker_transport, "version", lambda _: "8.0.0")
    transport = Transport(blockage, fast_receive=True, fast_publish=True)
    await reader_of(transport)
    assert (transport.receiver, transport.wire) == (None, None)
