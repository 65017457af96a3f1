"""What a Reconcilable sink has to keep beside `sink_contract`: what a backup took can be brought to its primary.

Used as the other points, with a target that can also make a sink of another worker:

    @pytest.mark.parametrize("point", TAKEN_CONTRACT)
    async def test_taken_contract(point, target):
        await point(target)

A store without locks may let two take the same messages, if then the good end of one of them raises SinkUnavailable.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from pamqp.commands import Basic

from penstock.deadletter.letter import REPLAYS_HEADER
from penstock.errors import BatchError, SinkUnavailable
from penstock.idempotency import KEY_HEADER
from penstock.kept import delivery_of
from penstock.outcome import Poison
from penstock.sink_contract_steps import expect, opened, write
from penstock.taken_contract_steps import (
    ALL,
    BackupSink,
    BackupTarget,
    Enough,
    backup,
    fail,
    holds,
    named,
    names_of,
    recording,
    take,
)
from penstock.testing import make_batch, make_delivery, make_record

__all__ = ["TAKEN_CONTRACT", "BackupSink", "BackupTarget"]

#: How long a sink may wait for what another has in hand, in seconds.
WAIT_LIMIT = 20.0


async def what_is_written_is_taken(target: BackupTarget) -> None:
    """A record that is written is taken with its body, its key and where it came from; once it is taken, it is gone."""
    records = [named(target, name) for name in ("b", "a")]
    async with backup(target) as sink:
        await write(sink, records, "WW")
        async with sink.taken(ALL) as messages:
            deliveries = [delivery_of(message) for message in messages]
        expect(
            [(one.body, one.exchange, one.routing_key, one.headers[KEY_HEADER]) for one in deliveries],
            [(one.delivery.body, one.delivery.exchange, one.delivery.routing_key, one.key) for one in records],
            "the messages taken",
        )
        await holds(sink, [], "after they were taken")


async def duplicate_is_not_taken_again(target: BackupTarget) -> None:
    """A Duplicate is not taken: what makes it one was, when it was written."""
    records = [named(target, name) for name in ("a", "b", "c")]
    async with backup(target) as sink:
        await write(sink, [records[1]], "W")
        await write(sink, records, "WDW")
        await write(sink, records, "DDD")
        await holds(sink, ["b", "a", "c"], "with Duplicates among them")


async def replayed_duplicate_is_taken_again(target: BackupTarget) -> None:
    """A record that was replayed is taken even as a Duplicate: the primary may have been given it, and refused it."""
    records = [named(target, name) for name in ("a", "b", "c")]
    async with backup(target) as sink:
        await write(sink, records, "WWW")
        expect(await take(sink, ALL), ["a", "b", "c"], "the messages taken")
        replayed = make_delivery(b"b", routing_key="b", properties=Basic.Properties(headers={REPLAYS_HEADER: 1}))
        await write(sink, [records[0], replace(records[1], delivery=replayed), records[2]], "DDD")
        await holds(sink, ["b"], "of which one was replayed")


async def refused_batch_leaves_nothing_taken(target: BackupTarget) -> None:
    """What is not written is not taken either: both are one transaction."""
    async with backup(target) as sink:
        try:
            await sink.write(make_batch(named(target, "a"), make_record(target.poison("b"), "b")))
        except BatchError:
            await holds(sink, [], "of a refused batch")
        else:
            raise AssertionError("a record the server refuses raised no BatchError")


async def primary_takes_nothing(target: BackupTarget) -> None:
    """At an endpoint without `records_taken`, nothing is."""
    sink = recording(target.sink())
    async with opened(target, sink):
        await write(sink, [named(target, "a")], "W")
    async with backup(target, sink):
        await holds(sink, [], "of what a primary wrote")


async def pages_come_in_the_order_written(target: BackupTarget) -> None:
    """Oldest first, across batches and within each, `limit` at once."""
    async with backup(target) as sink:
        for names in ("dac", "be", "f"):
            await write(sink, [named(target, name) for name in names], "W" * len(names))
        pages = [await take(sink, 2) for _ in range(4)]
        expect(pages, [["d", "a"], ["c", "b"], ["e", "f"], []], "pages")


async def failed_block_leaves_all(target: BackupTarget) -> None:
    """An error of the block leaves the messages to be taken again, and is raised as it is."""
    errors = (
        RuntimeError("a bug"),
        SinkUnavailable("the primary"),
        BatchError(Poison("bad_data", "Test", "the primary's")),
        OSError("the disk"),
        TimeoutError("the primary"),
        asyncio.CancelledError(),
    )
    async with backup(target) as sink:
        await write(sink, [named(target, "a"), named(target, "b")], "WW")
        for error in errors:
            try:
                await fail(sink, error)
            except BaseException as raised:
                if raised is not error:
                    raise AssertionError(f"a block's {error!r} came out as {raised!r}") from raised
            else:
                raise AssertionError(f"a block's {error!r} was swallowed")
        await holds(sink, ["a", "b"], "after blocks that failed")


async def workers_are_kept_apart(target: BackupTarget) -> None:
    """Each worker takes what it wrote itself."""
    neighbour = recording(target.neighbour())
    async with backup(target) as sink, backup(target, neighbour):
        await write(sink, [named(target, "a")], "W")
        await write(neighbour, [named(target, "b")], "W")
        await write(sink, [named(target, "c")], "W")
        async with sink.taken(ALL):
            await holds(neighbour, ["b"], "of the other worker, meanwhile,")
        await holds(neighbour, ["b"], "of the other worker")
        await holds(sink, [], "of the first worker")


async def two_take_each_message_once(target: BackupTarget) -> None:
    """Two processes of a worker that take at once get pages that have nothing in common."""
    names = [f"{number:02}" for number in range(20)]
    async with backup(target) as first, backup(target) as second:
        await write(first, [named(target, name) for name in names], "W" * len(names))
        found: list[str] = []

        async def take_all(sink: BackupSink) -> None:
            while page := await take(sink, 3):
                found.extend(page)

        await asyncio.gather(take_all(first), take_all(second))
        expect(sorted(found), names, "what two took together")


async def waits_in_bounded_time(target: BackupTarget) -> None:
    """Who finds the messages in another's hands gives up in time; the other is not disturbed."""
    async with backup(target) as first, backup(target) as second:
        await write(first, [named(target, "a")], "W")
        async with first.taken(ALL) as messages:
            expect(names_of(messages), ["a"], "the messages taken")
            try:
                async with asyncio.timeout(WAIT_LIMIT):
                    await fail(second, Enough())
            except TimeoutError as error:
                raise AssertionError(f"taking what another has did not end within {WAIT_LIMIT:g} s") from error
            except (SinkUnavailable, Enough):
                await first.ping()
        await holds(second, [], "after the first took them")


async def written_meanwhile_is_kept(target: BackupTarget) -> None:
    """Another process of the worker writes while messages are being taken: it does not wait, and loses nothing."""
    async with backup(target) as first, backup(target) as second:
        await write(first, [named(target, "a"), named(target, "b")], "WW")
        taken: list[str] = []
        try:
            async with first.taken(ALL) as messages:
                async with asyncio.timeout(WAIT_LIMIT):
                    await write(second, [named(target, "c")], "W")
                page = names_of(messages)
            taken += page
        except SinkUnavailable:
            # A store without locks may undo the taking, never the writing.
            await write(second, [named(target, "c")], "D")
        expect(taken + await take(first, ALL), ["a", "b", "c"], "what was taken, and then the rest")


async def nothing_taken_changes_nothing(target: BackupTarget) -> None:
    """To ask where nothing is left writes nothing: it is asked again and again."""
    async with backup(target) as sink:
        await write(sink, [named(target, "a")], "W")
        expect(await take(sink, ALL), ["a"], "the messages taken")
        before = await target.fingerprint()
        for _ in range(3):
            expect(await take(sink, ALL), [], "the messages taken when none was left")
        expect(await target.fingerprint(), before, "after asking for nothing, the server")


async def closed_sink_takes_nothing(target: BackupTarget) -> None:
    """A sink that is not open is unavailable."""
    sink = recording(target.sink())
    async with backup(target, sink):
        await write(sink, [named(target, "a")], "W")
    try:
        async with sink.taken(ALL):
            raise AssertionError("taken after close raised no SinkUnavailable")
    except SinkUnavailable:
        async with backup(target, sink):
            await holds(sink, ["a"], "after close")


TAKEN_CONTRACT = (
    what_is_written_is_taken,
    duplicate_is_not_taken_again,
    replayed_duplicate_is_taken_again,
    refused_batch_leaves_nothing_taken,
    primary_takes_nothing,
    pages_come_in_the_order_written,
    failed_block_leaves_all,
    workers_are_kept_apart,
    two_take_each_message_once,
    waits_in_bounded_time,
    written_meanwhile_is_kept,
    nothing_taken_changes_nothing,
    closed_sink_takes_nothing,
)
