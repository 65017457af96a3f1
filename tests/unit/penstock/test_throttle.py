"""When a socket is read: what throttles it, what reads all the same."""

from __future__ import annotations

import asyncio
import socket as socket_module
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from penstock import throttle as module
from penstock.throttle import Throttle
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass
class Socket:
    """What the throttle does to it; `ours` is one end of a connection, of which `theirs` is the other."""

    ours: socket_module.socket
    theirs: socket_module.socket
    reading: bool = True
    closing: bool = False

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def is_closing(self) -> bool:
        return self.closing

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.ours if name == "socket" else default


class ReadSocket(Socket, asyncio.ReadTransport):
    pass


def is_read(socket: Socket) -> bool:
    return socket.reading


@pytest.fixture
def beats() -> list[int]:
    return []


@pytest.fixture
def socket() -> Iterator[ReadSocket]:
    ours, theirs = socket_module.socketpair()
    with ours, theirs:
        yield ReadSocket(ours, theirs)


@pytest.fixture
def throttle(socket: ReadSocket, beats: list[int]) -> Throttle:
    made = Throttle()
    made.attach(socket, lambda: beats.append(1))
    return made


async def test_closed_it_reads_nothing_until_it_is_open(throttle: Throttle, socket: ReadSocket) -> None:
    throttle.close()
    assert throttle.closed
    assert not is_read(socket)
    waiting = asyncio.create_task(throttle.opened())
    await asyncio.sleep(0)
    assert not waiting.done()
    throttle.open()
    assert is_read(socket)
    await waiting


async def test_an_answer_is_read_and_then_nothing_more(throttle: Throttle, socket: ReadSocket) -> None:
    throttle.close()
    with throttle.asking():
        assert is_read(socket)
        assert throttle.closed
        with throttle.asking():
            pass
        assert is_read(socket)
    assert not is_read(socket)


async def test_closed_while_it_asks_it_reads_until_the_answer(throttle: Throttle, socket: ReadSocket) -> None:
    with throttle.asking():
        throttle.close()
        assert is_read(socket)
    assert not is_read(socket)


async def test_the_client_library_hears_heartbeats_only_while_nothing_is_read(
    throttle: Throttle, beats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.0)
    throttle.close()
    await until(lambda: len(beats) >= 3, "three heartbeats")
    throttle.open()
    heard = len(beats)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(beats) == heard


async def test_a_lost_connection_gets_no_heartbeats(
    throttle: Throttle, socket: ReadSocket, beats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.0)
    throttle.close()
    socket.closing = True
    for _ in range(10):
        await asyncio.sleep(0)
    assert beats == []
    throttle.open()
    assert not is_read(socket)


async def test_where_the_other_side_is_gone_its_end_is_read(
    throttle: Throttle, socket: ReadSocket, beats: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BEAT", 0.0)
    socket.theirs.send(b"not read yet")
    throttle.close()
    await until(lambda: bool(beats), "a heartbeat")
    socket.theirs.close()
    await until(lambda: is_read(socket), "it is read")
    heard = len(beats)
    for _ in range(10):
        await asyncio.sleep(0)
    assert len(beats) == heard


async def test_without_a_socket_it_only_remembers() -> None:
    throttle = Throttle()
    throttle.close()
    with throttle.asking():
        assert throttle.closed
    throttle.open()
    assert not throttle.closed


async def test_the_client_library_reads_on_only_where_the_throttle_does(throttle: Throttle, socket: ReadSocket) -> None:
    throttle.pause_reading()
    assert not is_read(socket)
    throttle.close()
    throttle.resume_reading()
    assert not is_read(socket)
    throttle.pause_reading()
    throttle.open()
    assert not is_read(socket)
    throttle.resume_reading()
    assert is_read(socket)
