"""The fault proxy passes what it should unchanged, and each fault does what it says."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

import pytest

from penstock.drill.proxy import Proxy
from penstock.drill.servers import Address
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

Message = Literal["delivered", "swallowed"]
#: How long to look for something that must not come, in seconds.
SILENCE = 0.2


class EchoServer:
    """Answers with what it was sent; remembers what came, and how connections ended."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.ends: Counter[str] = Counter()
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        try:
            while data := await reader.read(65_536):
                self.received += data
                writer.write(data)
                await writer.drain()
            self.ends["good-bye"] += 1
        except ConnectionError:
            self.ends["reset"] += 1
        finally:
            writer.close()


class Client:
    """One connection to the proxy."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, data: bytes) -> bytes:
        self.writer.write(data)
        async with asyncio.timeout(10):
            return await self.reader.readexactly(len(data))

    async def is_silent(self) -> bool:
        """Whether nothing comes, not even an end."""
        try:
            await asyncio.wait_for(self.reader.read(1), SILENCE)
        except TimeoutError:
            return True
        return False

    async def end(self) -> str:
        """How the connection ends, once it does."""
        async with asyncio.timeout(10):
            try:
                rest = await self.reader.read()
            except ConnectionResetError:
                return "reset"
        return f"good-bye after {len(rest)} bytes"


@asynccontextmanager
async def listening(server: EchoServer) -> AsyncIterator[Address]:
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    async with listener:
        yield Address(f"tcp://me:secret@127.0.0.1:{listener.sockets[0].getsockname()[1]}/some")
        for writer in server.writers:
            writer.close()


@asynccontextmanager
async def connected(proxy: Proxy) -> AsyncIterator[Client]:
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def fate(proxy: Proxy) -> str:
    """How a new connection ends that says nothing."""
    try:
        async with connected(proxy) as client:
            return await client.end()
    except ConnectionResetError:
        # So soon that it was never seen to be made.
        return "reset"


@pytest.fixture
def server() -> EchoServer:
    return EchoServer()


@pytest.fixture
async def proxy(server: EchoServer) -> AsyncIterator[Proxy]:
    async with listening(server) as address:
        with Proxy(address, seed=7) as made:
            yield made


async def test_bytes_go_through_unchanged(proxy: Proxy, server: EchoServer) -> None:
    data = random.Random(1).randbytes(20_000_000)
    async with connected(proxy) as client:
        client.writer.write(data)
        client.writer.write_eof()
        async with asyncio.timeout(60):
            assert await client.reader.read() == data
    await until(lambda: proxy.open == 0, "it forgets the connection")
    assert server.received == data
    assert server.ends == {"good-bye": 1}
    assert (proxy.tried, proxy.resets) == (1, 0)


async def test_a_reader_that_is_slow_holds_the_writer_up(proxy: Proxy, server: EchoServer) -> None:
    """Nobody reads the echo: all comes to a halt as the sockets are full, and not in the proxy's memory."""
    data = bytes(60_000_000)
    async with connected(proxy) as client:
        client.writer.write(data)
        sent = asyncio.create_task(client.writer.drain())
        before = -1
        while len(server.received) > before:
            before = len(server.received)
            await asyncio.sleep(SILENCE)
        assert not sent.done()
        assert await client.reader.readexactly(len(data)) == data
        await sent


def test_the_url_is_the_servers_but_for_host_and_port() -> None:
    with Proxy(Address("amqp://me:secret@broker.example:5672/first")) as proxy:
        assert proxy.url("amqp://me:s%40cret@broker.example:5672/x?y=1") == (
            f"amqp://me:s%40cret@127.0.0.1:{proxy.port}/x?y=1"
        )
        assert proxy.url("bolt://broker.example:5672") == f"bolt://127.0.0.1:{proxy.port}"


async def test_a_server_that_says_good_bye_is_heard(proxy: Proxy, server: EchoServer) -> None:
    async with connected(proxy) as client:
        assert await client.ask(b"hello") == b"hello"
        server.writers[0].write(b"last words")
        server.writers[0].close()
        assert await client.end() == "good-bye after 10 bytes"
    await until(lambda: proxy.open == 0, "it forgets the connection")


async def test_a_server_that_does_not_listen_resets(server: EchoServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = Address(f"tcp://127.0.0.1:{taken.getsockname()[1]}")
    with Proxy(address) as proxy:
        for tried in (1, 2):
            assert await fate(proxy) == "reset"
            assert proxy.tried == tried
    assert server.ends == {}


async def test_cut(proxy: Proxy, server: EchoServer) -> None:
    async with connected(proxy) as client:
        assert await client.ask(b"before") == b"before"
        with proxy.cut():
            assert await client.end() == "reset"
            assert await fate(proxy) == "reset"
            assert proxy.tried == 2
    async with connected(proxy) as client:
        assert await client.ask(b"after") == b"after"
    await until(lambda: proxy.open == 0, "they have ended")
    assert server.received == b"beforeafter"
    assert server.ends == {"reset": 1, "good-bye": 1}


async def test_reset_ends_all_there_are_and_lets_new_ones_in(proxy: Proxy, server: EchoServer) -> None:
    async with connected(proxy) as one, connected(proxy) as other:
        for client in (one, other):
            await client.ask(b"x")
        proxy.reset()
        assert [await one.end(), await other.end()] == ["reset", "reset"]
    assert proxy.resets == 2
    await until(lambda: server.ends["reset"] == 2, "the server knows")
    async with connected(proxy) as client:
        assert await client.ask(b"again") == b"again"


async def test_reset_every_so_often(proxy: Proxy) -> None:
    with proxy.resetting(every=0.05):
        for _ in range(3):
            assert await fate(proxy) == "reset"
    async with connected(proxy) as client:
        assert await client.is_silent()
        assert await client.ask(b"x") == b"x"


async def test_a_share_is_reset_at_random_and_half_of_that_still_arrives(proxy: Proxy, server: EchoServer) -> None:
    answered = 0
    with proxy.resetting_share(0.2):
        for _ in range(200):
            async with connected(proxy) as client:
                try:
                    answered += len(await client.ask(b"x"))
                except (ConnectionError, asyncio.IncompleteReadError):
                    assert await client.end() in {"reset", "good-bye after 0 bytes"}
    assert 200 - answered == proxy.resets
    assert 20 <= proxy.resets <= 60
    await until(lambda: len(server.received) > answered, "some arrived that were not answered")
    assert len(server.received) < 200
    async with connected(proxy) as client:
        assert await client.ask(b"no more") == b"no more"


async def test_delay_takes_its_time_each_way_and_keeps_the_order(proxy: Proxy, server: EchoServer) -> None:
    loop = asyncio.get_running_loop()
    pieces = [b"%04d" % number for number in range(1000)]
    async with connected(proxy) as client:
        with proxy.delay(SILENCE):
            started = loop.time()
            for piece in pieces:
                client.writer.write(piece)
                await asyncio.sleep(0)
            assert await client.reader.readexactly(1) == b"0"
            assert loop.time() - started >= 2 * SILENCE
        # Not even what comes after the delay overtakes what is under way.
        client.writer.write(b"last")
        client.writer.write_eof()
        assert b"0" + await client.reader.read() == b"".join(pieces) + b"last"
    assert server.received == b"".join(pieces) + b"last"


async def test_a_black_hole_swallows_and_answers_nothing(proxy: Proxy, server: EchoServer) -> None:
    async with connected(proxy) as client:
        await client.ask(b"before")
        with proxy.black_hole():
            client.writer.write(b"lost")
            async with connected(proxy) as new:
                new.writer.write(b"lost too")
                assert await client.is_silent()
                assert await new.is_silent()
            # Nobody hears that a peer has gone.
            server.writers[0].write(b"unheard")
            server.writers[0].close()
            assert await client.is_silent()
        assert await client.end() == "reset"
    assert server.received == b"before"
    async with connected(proxy) as client:
        assert await client.ask(b"after") == b"after"


@pytest.mark.parametrize("message", ["delivered", "swallowed"])
async def test_a_trap_that_black_holes(proxy: Proxy, server: EchoServer, message: Message) -> None:
    async with connected(proxy) as trapped, connected(proxy) as other:
        with proxy.trap(b"COMMIT", "black_hole", message) as trap:
            assert await other.ask(b"BEGIN;") == b"BEGIN;"
            assert await trapped.ask(b"INSERT;CO") == b"INSERT;CO"
            assert not trap.sprung.is_set()
            trapped.writer.write(b"MMIT;more")
            await until(trap.sprung.is_set, "sprung")
            assert await trapped.is_silent()
            assert await other.ask(b"COMMIT;") == b"COMMIT;"
            trapped.writer.close()
            await asyncio.sleep(SILENCE)
            assert server.ends == {}
        await until(lambda: server.ends == {"reset": 1}, "the server knows")
        assert await other.ask(b"more;") == b"more;"
    arrived = b"BEGIN;INSERT;COMMIT" if message == "delivered" else b"BEGIN;INSERT;CO"
    assert server.received == arrived + b"COMMIT;more;"


@pytest.mark.parametrize("message", ["delivered", "swallowed"])
async def test_a_trap_that_resets(proxy: Proxy, server: EchoServer, message: Message) -> None:
    async with connected(proxy) as trapped:
        with proxy.trap(b"COMMIT", "reset", message) as trap:
            trapped.writer.write(b"INSERT;COMMIT;")
            assert await trapped.end() == "reset"
            assert trap.sprung.is_set()
            await until(lambda: server.ends.total() == 1, "the server knows")
            async with connected(proxy) as other:
                assert await other.ask(b";COMMIT;") == b";COMMIT;"
    assert server.received == (b"INSERT;COMMIT" if message == "delivered" else b"INSERT;") + b";COMMIT;"
    assert proxy.resets == 1
