"""Connecting: several addresses, tried in turn, and what is said where none of them answers."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from pydantic import SecretStr

from penstock.broker import connect
from penstock.errors import LinkError
from penstock.settings import RabbitMQ

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "Tr0ub4dor"


@contextmanager
def mute() -> Iterator[int]:
    """A port that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@contextmanager
def hanging_up(answer: bytes) -> Iterator[int]:
    """A port that answers each connection with some bytes and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    peer, _ = server.accept()
                except OSError:
                    return
                with peer:
                    peer.recv(100)
                    peer.sendall(answer)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


async def test_every_address_is_named_with_what_it_said() -> None:
    with mute() as first, hanging_up(b"") as second:
        url = SecretStr(f"amqp://me:{PASSWORD}@127.0.0.1:{first},127.0.0.1:{second},127.0.0.1:1/v")
        with pytest.raises(LinkError) as caught:
            await connect(RabbitMQ(url=url, connect_timeout=0.2), "test")
    text = str(caught.value)
    parts = text.split("; ")
    assert parts[0].startswith(f"cannot connect to RabbitMQ at amqp://me@127.0.0.1:{first}/v: no answer within 0.2 s")
    assert parts[1].startswith(f"cannot connect to RabbitMQ at amqp://me@127.0.0.1:{second}/v: ")
    assert parts[2].startswith("cannot connect to RabbitMQ at amqp://me@127.0.0.1:1/v: ")
    assert len(parts) == 3
    assert PASSWORD not in text
    assert "\n" not in text


async def test_a_broker_that_hangs_up_on_tls_may_want_a_certificate() -> None:
    with hanging_up(b"") as port:
        settings = RabbitMQ(url=SecretStr(f"amqps://me:{PASSWORD}@127.0.0.1:{port}"), connect_timeout=5)
        with pytest.raises(LinkError, match=r"or want one: set RABBITMQ_TLS_CERT and RABBITMQ_TLS_KEY"):
            await connect(settings, "test")


async def test_a_port_that_speaks_no_tls_is_told() -> None:
    with hanging_up(b"AMQP\x00\x00\x09\x01") as port:
        settings = RabbitMQ(url=SecretStr(f"amqps://me:{PASSWORD}@127.0.0.1:{port}"), connect_timeout=5)
        with pytest.raises(LinkError, match=r"speaks no TLS at this port: check RABBITMQ_PORT \(5671 as a rule\)"):
            await connect(settings, "test")
