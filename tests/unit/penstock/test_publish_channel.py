"""Publishes past the client library, to a socket that takes nothing for a while, and on a channel that is lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from aiormq.exceptions import ChannelNotFoundEntity
from pamqp import frame
from pamqp.commands import Basic
from yarl import URL

from penstock.blockage import Blockage, unheard
from penstock.broker_transport import Transport
from penstock.errors import LinkError, PublishRefused
from penstock.publish_channel import OwnChannel
from support.frames import FRAME_MAX
from support.wait import until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

#: Seconds that no test waits for.
NEVER = 600.0
LARGE = bytes(1_000_000)


class Peer:
    """What a broker has been sent; it reads only when it is told to."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        #: The routing keys of what has come, in order.
        self.published: list[str] = []
        self.over = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        await self.reads.wait()
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                head = await reader.readexactly(7)
                rest = await reader.readexactly(int.from_bytes(head[3:]) + 1)
                _, _, one = frame.unmarshal(head + rest)
                if isinstance(one, Basic.Publish):
                    self.published.append(one.routing_key)
        writer.close()
        self.over.set()

    def say(self, *frames: bytes) -> None:
        for writer in self._writers:
            writer.write(b"".join(frames))


class Opened:
    """A channel of ours to a peer."""

    def __init__(self, peer: Peer, transport: Transport, blockage: Blockage, seconds: float) -> None:
        assert transport.wire is not None
        self.peer = peer
        self.writer = transport.wire.writer
        self.closing: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        tune = SimpleNamespace(connection_tune=SimpleNamespace(frame_max=FRAME_MAX))
        self.library: Any = SimpleNamespace(number=1, connection=tune, closing=self.closing, is_closed=False)
        self.channel = OwnChannel(self.library, seconds, blockage, transport.wire)

    def publish(self, key: str, body: bytes = b"{}") -> asyncio.Task[None]:
        return asyncio.create_task(self.channel.publish("shop", key, body, Basic.Properties(message_id=key)))

    def end(self, error: BaseException | None = None) -> None:
        """As the library does it."""
        self.library.is_closed = True
        if self.closing.done():
            return
        if error is None:
            self.closing.set_result(None)
        else:
            self.closing.set_exception(error)

    @property
    def unsent(self) -> int:
        return self.writer.transport.get_write_buffer_size()


@asynccontextmanager
async def opened(seconds: float = NEVER, blockage: Blockage | None = None) -> AsyncIterator[Opened]:
    """A channel of ours, and who reads from it."""
    peer = Peer()
    async with await asyncio.start_server(peer.serve, "127.0.0.1", 0) as server:
        transport = Transport(blockage, fast_receive=True, fast_publish=True)
        url = URL(f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        _, writer = await transport.create(url, ssl_context_provider=None)
        one = Opened(peer, transport, blockage or unheard(), seconds)
        try:
            yield one
        finally:
            peer.reads.set()
            one.end()
            writer.transport.abort()
            await peer.over.wait()


async def test_many_at_once_go_out_in_order_and_one_confirm_is_for_all() -> None:
    async with opened() as one:
        one.peer.reads.set()
        keys = [f"k{number}" for number in range(1000)]
        publishes = [one.publish(key) for key in keys]
        await until(lambda: one.peer.published == keys, "all of them")
        one.peer.say(frame.marshal(Basic.Ack(1000, multiple=True), 1))
        await asyncio.gather(*publishes)


async def test_a_peer_that_reads_nothing_is_given_no_more_than_has_room_and_all_in_order_once_it_reads() -> None:
    async with opened() as one:
        keys = [f"k{number}" for number in range(60)]
        publishes = [one.publish(key, LARGE) for key in keys]
        publishes[50].cancel()
        await asyncio.sleep(0.1)
        # What the system holds of it is its own affair.
        assert 0 < one.unsent < 3 * len(LARGE)
        one.peer.reads.set()
        # It does not overtake those who have waited.
        publishes.append(one.publish("last"))
        del keys[50]
        await until(lambda: one.peer.published == [*keys, "last"], "all of them")
        one.peer.say(frame.marshal(Basic.Ack(60, multiple=True), 1))
        done = await asyncio.gather(*publishes, return_exceptions=True)
        assert [type(error) for error in done if error] == [asyncio.CancelledError]


async def test_those_who_wait_for_such_a_peer_have_their_time() -> None:
    async with opened(seconds=0.2) as one:
        publishes = [one.publish(f"k{number}", LARGE) for number in range(60)]
        done = await asyncio.gather(*publishes, return_exceptions=True)
        assert {str(error) for error in done} == {"not confirmed by shop: the broker did not answer within 0.2 s"}
        assert {type(error.__cause__) for error in done if error} == {TimeoutError}


async def test_what_is_late_is_not_held_on_to() -> None:
    gone: list[str] = []

    class Body(bytes):
        def __del__(self) -> None:
            gone.append("gone")

    async with opened(seconds=0.05) as one:
        with pytest.raises(LinkError, match="did not answer within"):
            await one.channel.publish("shop", "k", Body(b"{}"), Basic.Properties(message_id="k"))
        # The broker may still answer: what it says is not taken for another's.
        assert gone


async def test_a_notice_ends_those_who_wait_for_it_and_those_who_wait_for_a_confirm() -> None:
    blockage = Blockage(lambda _: None, "raise")
    async with opened(blockage=blockage) as one:
        publishes = [one.publish(f"k{number}", LARGE) for number in range(60)]
        await asyncio.sleep(0.1)
        blockage.begin("a connection", "low on memory")
        done = await asyncio.gather(*publishes, return_exceptions=True)
        assert {type(error.__cause__) for error in done if error} == {TimeoutError}


async def test_a_notice_ends_one_whose_wait_is_over_in_the_same_turn() -> None:
    blockage = Blockage(lambda _: None, "raise")
    async with opened(blockage=blockage) as one:
        publishes = [one.publish(f"k{number}", LARGE) for number in range(60)]
        await asyncio.sleep(0.1)
        # As a socket does that can be written to and read from in one turn of the loop.
        protocol = one.writer.transport.get_protocol()
        assert isinstance(protocol, asyncio.StreamReaderProtocol)
        protocol.resume_writing()
        blockage.begin("a connection", "low on memory")
        async with asyncio.timeout(10):
            done = await asyncio.gather(*publishes, return_exceptions=True)
        assert {type(error.__cause__) for error in done if error} == {TimeoutError}


async def test_a_loss_is_told_to_all_and_nothing_is_sent_after_it() -> None:
    async with opened() as one:
        one.peer.reads.set()
        publishes = [one.publish(f"k{number}") for number in range(3)]
        await until(lambda: len(one.peer.published) == 3, "all of them")
        one.end(ChannelNotFoundEntity("NOT_FOUND - no exchange 'shop'"))
        for error in await asyncio.gather(*publishes, one.publish("k3"), return_exceptions=True):
            assert isinstance(error, LinkError)
        assert isinstance(publishes[0].exception().__cause__, ChannelNotFoundEntity)  # type: ignore[union-attr]
        assert one.channel.is_closed


@pytest.mark.parametrize("error", [asyncio.CancelledError(), Exception(), None])
async def test_whatever_the_library_closes_it_with_is_a_loss(error: BaseException | None) -> None:
    async with opened() as one:
        publish = one.publish("k")
        await asyncio.sleep(0)
        one.end(error)
        with pytest.raises(LinkError, match="not confirmed by shop: the channel was lost"):
            await publish


async def test_a_socket_that_is_lost_while_they_wait_for_it_is_a_loss() -> None:
    async with opened() as one:
        publishes = [one.publish(f"k{number}", LARGE) for number in range(60)]
        await asyncio.sleep(0.1)
        one.writer.transport.abort()
        # Those that had their turn wait for the library to close the channel.
        await until(publishes[-1].done, "the end of the last")
        one.end(ConnectionResetError("reset"))
        for error in await asyncio.gather(*publishes, return_exceptions=True):
            assert isinstance(error, LinkError)


async def test_what_cannot_be_sent_counts_as_no_publish() -> None:
    async with opened() as one:
        one.peer.reads.set()
        with pytest.raises(PublishRefused, match="cannot be put in AMQP's terms"):
            await one.publish("k" * 256)
        publish = one.publish("k")
        await until(lambda: one.peer.published == ["k"], "the one that can")
        one.peer.say(frame.marshal(Basic.Ack(1), 1))
        await publish


async def test_a_message_without_an_id_gets_one() -> None:
    async with opened() as one:
        properties = Basic.Properties()
        publish = asyncio.create_task(one.channel.publish("", "k", b"{}", properties))
        await asyncio.sleep(0)
        assert properties.message_id
        publish.cancel()
