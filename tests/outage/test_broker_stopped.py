"""The broker goes away in every way; the worker comes back by itself, and everything confirmed is in the sink."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import asyncpg

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from penstock.errors import SinkUnavailable
from penstock.settings import Limits, QueueSettings
from support import broker, stores
from support.notes import quick, running

if TYPE_CHECKING:
    from penstock.drill.servers import Server
    from support.notes import Running

#: How long the broker is away, in seconds.
AWAY = 5


async def half_way(worker: Running) -> None:
    """Return when some of 1,000 notes are written, a batch is with the sink and the rest is held or in the queue."""
    worker.sink.hold()
    await worker.publish(range(1000))
    worker.sink.let(20)
    await worker.until(lambda: worker.sink.entered == 21, "the batch after the 20th is with the sink")


async def all_there(worker: Running) -> None:
    """Publish some more, and see that everything is there."""
    await worker.publish(range(1000, 1200))
    wanted = set(range(1200))
    await worker.until(lambda: worker.sink.states.keys() == wanted and not worker.process.link.held, "all notes", 60)
    assert worker.process.ready() is None
    await worker.stop()
    assert await broker.depth(worker.url, worker.name) == 0
    assert await broker.depth(worker.url, f"{worker.name}.dlq") == 0


async def test_a_broker_that_is_stopped_for_a_while(server: Server) -> None:
    async with running(server.url, name="stopped") as worker:
        await half_way(worker)
        await asyncio.to_thread(server.stop)
        await worker.until(lambda: not worker.process.link.connected, "the link is down")
        assert worker.process.ready() == "the broker is away"
        # The sink goes on meanwhile: what it took is settled too late.
        worker.sink.let()
        await worker.until(lambda: worker.metric("penstock_stale_settlements_total") >= 10, "stale")
        await asyncio.sleep(AWAY)
        await asyncio.to_thread(server.start)
        await worker.consuming(generation=2)
        await all_there(worker)
        assert worker.metric("penstock_outcomes_total", outcome="written") == 1200
        assert worker.metric("penstock_outcomes_total", outcome="duplicate") >= 10


async def test_a_broker_that_is_killed(server: Server) -> None:
    async with running(server.url, name="killed") as worker:
        await half_way(worker)
        await asyncio.sleep(broker.YOUNG)
        await asyncio.to_thread(server.kill)
        await worker.until(lambda: not worker.process.link.connected, "the link is down")
        worker.sink.let()
        await asyncio.to_thread(server.start)
        await worker.consuming(generation=2)
        await all_there(worker)
        assert worker.metric("penstock_outcomes_total", outcome="written") == 1200


async def test_a_broker_that_freezes(server: Server) -> None:
    """Nothing is closed, nothing answers, and the heartbeat is ten minutes: the watchdog has to see it."""
    settings = quick(server.url, queue=QueueSettings(watchdog=0.2))
    async with running(server.url, settings, name="frozen") as worker:
        await half_way(worker)
        await asyncio.to_thread(server.freeze)
        worker.sink.let()
        await worker.until(lambda: not worker.process.link.connected, "the link is given up", 60)
        assert worker.metric("penstock_consumer_rebuilt_total") == 1
        await asyncio.to_thread(server.thaw)
        await worker.consuming(generation=2)
        await all_there(worker)


async def test_a_broker_that_freezes_while_the_consumer_is_paused(server: Server) -> None:
    """Nothing is expected of it then; and still it is not taken for one that holds what was delivered."""
    settings = quick(server.url, queue=QueueSettings(watchdog=0.2))
    async with running(server.url, settings, name="frozen-paused") as worker:
        worker.sink.hold()
        await worker.publish(range(25))
        await worker.until(lambda: worker.process.link.held == 25, "all are held")
        worker.sink.outage = SinkUnavailable("away")
        worker.sink.let()
        await worker.until(lambda: worker.process.link.paused_for == {"sink"}, "it pauses")
        await asyncio.to_thread(server.freeze)
        await worker.until(lambda: not worker.process.link.connected, "the link is given up", 60)
        await asyncio.to_thread(server.thaw)
        await worker.until(lambda: worker.process.link.connected, "there is a new one", 40)
        assert worker.process.link.paused_for == {"sink"}
        worker.sink.outage = None
        await worker.settled(25)
        assert worker.sink.ids == list(range(25))
        assert worker.metric("penstock_stale_settlements_total") == 0
        await worker.stop()
    assert await broker.depth(server.url, "frozen-paused") == 0


async def test_sigterm_while_neither_broker_nor_sink_answers(server: Server, postgres_url: str) -> None:
    drain = Limits().drain_seconds
    installation = Installation({"RABBITMQ_URL": server.url, "POSTGRES_URL": postgres_url})
    connection = await asyncpg.connect(postgres_url)
    try:
        with installation.start("run", "discogs-table") as worker:
            worker.wait_ready()
            async with connection.transaction():
                await connection.execute("LOCK TABLE artists")
                await broker.publish(server.url, "discogs", [("artist", {"type": "artist", "id": "1"})])
                wait_until(lambda: worker.metric("penstock_held_messages") == 1, 20, "one is held")
                server.freeze()
                before = time.monotonic()
                worker.signal(signal.SIGTERM)
                wait_until(lambda: not worker.running, 2 * drain, "the end")
                assert time.monotonic() - before <= drain
            assert worker.wait(1) == 0, worker.output()
            assert worker.events("drain_limit_reached")
        # It was not settled, so it comes again; a write that the server finished by itself makes it a duplicate.
        server.thaw()
        counts = installation.drain("discogs-table")["discogs-table"]
        assert counts["written"] + counts["duplicate"] == 1
    finally:
        await connection.close()
    assert await stores.rows(postgres_url, "artists") == 1


async def test_a_letter_that_a_frozen_broker_does_not_take_is_held_and_seen(server: Server) -> None:
    settings = quick(server.url)
    impatient = settings.rabbitmq.model_copy(update={"publish_timeout": 1.0})
    async with running(server.url, settings.model_copy(update={"rabbitmq": impatient}), name="letters") as worker:
        # The first letter opens the publishing connection, so that the second is the one that gets stuck in it.
        await broker.publish(worker.url, worker.name, [("any", b"no JSON")])
        await worker.until(lambda: worker.metric("penstock_dead_lettered_total") == 1, "the first letter")
        worker.sink.hold()
        await worker.publish([1])
        await worker.until(lambda: worker.sink.entered == 1, "a batch is with the sink")
        await broker.publish(worker.url, worker.name, [("any", b"x" * 6_000_000), ("any", {"id": 2})])
        await worker.until(lambda: worker.process.link.held == 3, "all is delivered")
        server.freeze()
        worker.sink.let()
        await worker.until(lambda: worker.process.consumer.trouble != "", "it says what is wrong", 40)
        assert "dead_letter" in worker.process.link.paused_for
        assert worker.process.ready() == "1 dead letters are not confirmed"
        server.thaw()
        await worker.until(lambda: worker.process.ready() is None and worker.process.link.held == 0, "all settled", 60)
        await worker.stop()
        assert worker.sink.states.keys() == {1, 2}
    letters = await broker.take_all(server.url, "letters.dlq")
    # A publish that was not confirmed in time may have arrived all the same.
    assert {letter.body[:7] for letter in letters} == {b"no JSON", b"x" * 7}
