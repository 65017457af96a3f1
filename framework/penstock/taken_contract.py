"""What a Reconcilable sink has to keep beside `sink_contract`: what a backup took can be brought to its primary.

Used as the other points, with a target that can also make a sink of another worker:

    @pytest.mark.parametrize("point", TAKEN_CONTRACT)
    async def test_taken_contract(point, target):
        await point(target)

A store without locks may let two take the same messages, if then the good end of one of them raises SinkUnavailable.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, NoReturn, Protocol

from penstock.errors import BatchError, SinkUnavailable
from penstock.idempotency import KEY_HEADER
from penstock.kept import delivery_of
from penstock.outcome import Poison
from penstock.sink import Reconcilable, Sink
from penstock.sink_contract import Target
from penstock.sink_contract_steps import expect, opened, record_of, write
from penstock.testing import make_batch, make_delivery, make_record

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from penstock.message import Message
    from penstock.record import Record

#: How long a sink may wait for what another has in hand, in seconds.
WAIT_LIMIT = 20.0
#: How often messages are taken again that another had in hand.
TRIES = 50
#: More than a point writes.
ALL = 100


class BackupTarget(Target, Protocol):
    """A target as `sink_contract` has it, and a second worker that writes rows of the same shape to its server."""

    def neighbour(self) -> Sink:
        """Make a sink, not open, of a worker of another name. It has tables of its own, or shares them."""


class BackupSink(Sink, Reconcilable, Protocol):
    """Both in one."""


async def what_is_written_is_taken(target: BackupTarget) -> None:
    """A record that is written is taken with its body, its key and where it came from; once it is taken, it is gone."""
    records = [_record(target, name) for name in ("b", "a")]
    async with _backup(target) as sink:
        await write(sink, records, "WW")
        async with sink.taken(ALL) as messages:
            deliveries = [delivery_of(message) for message in messages]
        expect(
            [(one.body, one.exchange, one.routing_key, one.headers[KEY_HEADER]) for one in deliveries],
            [(one.delivery.body, one.delivery.exchange, one.delivery.routing_key, one.key) for one in records],
            "the messages taken",
        )
        await _holds(sink, [], "after they were taken")


async def duplicate_is_not_taken_again(target: BackupTarget) -> None:
    """A Duplicate is not taken: what makes it one was, when it was written."""
    records = [_record(target, name) for name in ("a", "b", "c")]
    async with _backup(target) as sink:
        await write(sink, [records[1]], "W")
        await write(sink, records, "WDW")
        await write(sink, records, "DDD")
        await _holds(sink, ["b", "a", "c"], "with Duplicates among them")


async def refused_batch_leaves_nothing_taken(target: BackupTarget) -> None:
    """What is not written is not taken either: both are one transaction."""
    async with _backup(target) as sink:
        try:
            await sink.write(make_batch(_record(target, "a"), make_record(target.poison("b"), "b")))
        except BatchError:
            await _holds(sink, [], "of a refused batch")
        else:
            raise AssertionError("a record the server refuses raised no BatchError")


async def primary_takes_nothing(target: BackupTarget) -> None:
    """At an endpoint without `records_taken`, nothing is."""
    sink = _recording(target.sink())
    async with opened(target, sink):
        await write(sink, [_record(target, "a")], "W")
    async with _backup(target, sink):
        await _holds(sink, [], "of what a primary wrote")


async def pages_come_in_the_order_written(target: BackupTarget) -> None:
    """Oldest first, across batches and within each, `limit` at once."""
    async with _backup(target) as sink:
        for names in ("dac", "be", "f"):
            await write(sink, [_record(target, name) for name in names], "W" * len(names))
        pages = [await _take(sink, 2) for _ in range(4)]
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
    async with _backup(target) as sink:
        await write(sink, [_record(target, "a"), _record(target, "b")], "WW")
        for error in errors:
            try:
                await _fail(sink, error)
            except BaseException as raised:
                if raised is not error:
                    raise AssertionError(f"a block's {error!r} came out as {raised!r}") from raised
            else:
                raise AssertionError(f"a block's {error!r} was swallowed")
        await _holds(sink, ["a", "b"], "after blocks that failed")


async def workers_are_kept_apart(target: BackupTarget) -> None:
    """Each worker takes what it wrote itself."""
    neighbour = _recording(target.neighbour())
    async with _backup(target) as sink, _backup(target, neighbour):
        await write(sink, [_record(target, "a")], "W")
        await write(neighbour, [_record(target, "b")], "W")
        await write(sink, [_record(target, "c")], "W")
        async with sink.taken(ALL):
            await _holds(neighbour, ["b"], "of the other worker, meanwhile,")
        await _holds(neighbour, ["b"], "of the other worker")
        await _holds(sink, [], "of the first worker")


async def two_take_each_message_once(target: BackupTarget) -> None:
    """Two processes of a worker that take at once get pages that have nothing in common."""
    names = [f"{number:02}" for number in range(20)]
    async with _backup(target) as first, _backup(target) as second:
        await write(first, [_record(target, name) for name in names], "W" * len(names))
        found: list[str] = []

        async def take_all(sink: BackupSink) -> None:
            while page := await _take(sink, 3):
                found.extend(page)

        await asyncio.gather(take_all(first), take_all(second))
        expect(sorted(found), names, "what two took together")


async def waits_in_bounded_time(target: BackupTarget) -> None:
    """Who finds the messages in another's hands gives up in time; the other is not disturbed."""
    async with _backup(target) as first, _backup(target) as second:
        await write(first, [_record(target, "a")], "W")
        async with first.taken(ALL) as messages:
            expect(_names(messages), ["a"], "the messages taken")
            try:
                async with asyncio.timeout(WAIT_LIMIT):
                    await _fail(second, _Enough())
            except TimeoutError as error:
                raise AssertionError(f"taking what another has did not end within {WAIT_LIMIT:g} s") from error
            except (SinkUnavailable, _Enough):
                await first.ping()
        await _holds(second, [], "after the first took them")


async def written_meanwhile_is_kept(target: BackupTarget) -> None:
    """Another process of the worker writes while messages are being taken: it does not wait, and loses nothing."""
    async with _backup(target) as first, _backup(target) as second:
        await write(first, [_record(target, "a"), _record(target, "b")], "WW")
        taken: list[str] = []
        try:
            async with first.taken(ALL) as messages:
                async with asyncio.timeout(WAIT_LIMIT):
                    await write(second, [_record(target, "c")], "W")
                page = _names(messages)
            taken += page
        except SinkUnavailable:
            # A store without locks may undo the taking, never the writing.
            await write(second, [_record(target, "c")], "D")
        expect(taken + await _take(first, ALL), ["a", "b", "c"], "what was taken, and then the rest")


async def nothing_taken_changes_nothing(target: BackupTarget) -> None:
    """To ask where nothing is left writes nothing: it is asked again and again."""
    async with _backup(target) as sink:
        await write(sink, [_record(target, "a")], "W")
        expect(await _take(sink, ALL), ["a"], "the messages taken")
        before = await target.fingerprint()
        for _ in range(3):
            expect(await _take(sink, ALL), [], "the messages taken when none was left")
        expect(await target.fingerprint(), before, "after asking for nothing, the server")


async def closed_sink_takes_nothing(target: BackupTarget) -> None:
    """A sink that is not open is unavailable."""
    sink = _recording(target.sink())
    async with _backup(target, sink):
        await write(sink, [_record(target, "a")], "W")
    try:
        async with sink.taken(ALL):
            raise AssertionError("taken after close raised no SinkUnavailable")
    except SinkUnavailable:
        async with _backup(target, sink):
            await _holds(sink, ["a"], "after close")


TAKEN_CONTRACT = (
    what_is_written_is_taken,
    duplicate_is_not_taken_again,
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


class _Enough(Exception):
    """Ends a block without a good end."""


def _recording(sink: Sink) -> BackupSink:
    if not isinstance(sink, Reconcilable):
        raise TypeError(f"{type(sink).__name__} is no Reconcilable sink: it has no `taken`")
    return sink


@asynccontextmanager
async def _backup(target: BackupTarget, sink: BackupSink | None = None) -> AsyncIterator[BackupSink]:
    """A sink of the target's own, or `sink`, open at an endpoint that records what it takes."""
    sink = sink or _recording(target.sink())
    await sink.open(replace(target.endpoint, records_taken=True))
    try:
        await sink.prepare()
        yield sink
    finally:
        await sink.close()


def _record(target: BackupTarget, name: str) -> Record:
    """A record whose message tells its name."""
    return replace(record_of(target, name, f"text of {name}"), delivery=make_delivery(name.encode(), routing_key=name))


def _names(messages: Sequence[Message]) -> list[str]:
    return [message.body.decode() for message in messages]


async def _take(sink: BackupSink, limit: int) -> list[str]:
    """The names on the first page, forgotten at the end; again while somebody else has it in hand."""
    for _ in range(TRIES):
        try:
            async with sink.taken(limit) as messages:
                names = _names(messages)
        except SinkUnavailable as error:
            reason = str(error)
        else:
            return names
    raise AssertionError(f"what was taken was not to be had in {TRIES} tries: {reason}")


async def _fail(sink: BackupSink, error: BaseException) -> None:
    """Raise the error in a block that has something in hand."""
    async with sink.taken(1):
        raise error


def _leave() -> NoReturn:
    raise _Enough


async def _holds(sink: BackupSink, names: Sequence[str], when: str) -> None:
    """Expect that the sink has these left to be taken, in this order, and leave them."""
    try:
        async with sink.taken(ALL) as messages:
            expect(_names(messages), list(names), f"left to be taken {when}")
            _leave()
    except SinkUnavailable as error:
        raise AssertionError(f"left to be taken {when}: expected {list(names)!r}, found {error}") from error
    except _Enough:
        return
