"""What every sink has to keep: the contract suite, for the sinks here and in packages outside.

A package makes a `Target` for its sink and runs every point of the contract against a fresh one:

    @pytest.mark.parametrize("point", contract("upsert"))
    async def test_contract(point, target):
        await point(target)

A point raises AssertionError, saying what was broken. The points of `OUTAGE_CONTRACT`
take a `Control` as well, which stops and freezes the target's server. A sink that is to be
`Reconcilable` also keeps `penstock.taken_contract.TAKEN_CONTRACT`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Protocol

from penstock.errors import BatchError
from penstock.outcome import DUPLICATE, Poison
from penstock.sink_contract_steps import expect, gives_up, opened, record_of, unavailable, write
from penstock.testing import make_batch, make_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from penstock.sink import Endpoint, Sink
    from penstock.worker import Mode

#: How long a sink may take to notice that its server is away, and to close, in seconds.
OUTAGE_LIMIT = 20.0


class Target(Protocol):
    """A sink under test, with a server that holds nothing yet, and a look at it past the sink.

    Each row has a name, its natural key, and carries one text.
    """

    endpoint: Endpoint

    def sink(self) -> Sink:
        """Make a sink, not open."""

    def row(self, name: str, text: str) -> Any:
        """Return a row in the shape the sink takes; in mode `update`, one that gives the text alone."""

    def poison(self, name: str) -> Any:
        """Return a row that the server refuses for good."""

    async def stored(self) -> Mapping[str, Sequence[str]]:
        """Return the texts stored by name, in the order written; one a name, unless the mode is `append`."""

    async def fingerprint(self) -> object:
        """Return what is equal to an earlier one only when nothing at all was written in between."""

    async def set_hash(self, name: str, stored_hash: str | None) -> None:
        """Overwrite the stored content hash of a row. Not asked of a target in mode `append`."""


class Control(Protocol):
    """The server of a target, to be taken away."""

    async def stop(self) -> None:
        """End the server."""

    async def start(self) -> None:
        """Have the server serve again, with its data."""

    async def freeze(self) -> None:
        """Stop the server in its tracks: connections stay, nothing answers."""

    async def thaw(self) -> None:
        """Let the frozen server go on."""


def contract(mode: Mode) -> Sequence[Callable[[Target], Awaitable[None]]]:
    """Return the points a sink in this mode has to keep."""
    own = {
        "upsert": STATE_POINTS,
        "update": (*STATE_POINTS, one_name_twice_leaves_the_later),
        "append": EVENT_POINTS,
    }
    return (*COMMON_POINTS, *own[mode])


async def written_is_stored(target: Target) -> None:
    """What is Written is there."""
    async with opened(target) as sink:
        await write(sink, [record_of(target, "a", "one"), record_of(target, "b", "two")], "WW")
        expect(await target.stored(), {"a": ["one"], "b": ["two"]}, "stored")


async def empty_batch_has_no_outcomes(target: Target) -> None:
    """An empty batch is harmless."""
    async with opened(target) as sink:
        await write(sink, [], "")


async def repeated_batch_is_duplicate(target: Target) -> None:
    """The same batch again is Duplicate throughout and changes nothing, through another sink as well."""
    records = [record_of(target, "a", "one"), record_of(target, "b", "two", version=1)]
    async with opened(target) as sink:
        await write(sink, records, "WW")
        before = await target.fingerprint()
        await write(sink, records, "DD")
    async with opened(target) as other:
        await write(other, records, "DD")
    expect(await target.fingerprint(), before, "after a repeated batch, the server")


async def outcomes_come_in_order(target: Target) -> None:
    """One outcome a record, each in its record's place."""
    names = ["d", "a", "e", "b", "c"]
    records = [record_of(target, name, f"text {name}") for name in names]
    async with opened(target) as sink:
        await write(sink, [records[1], records[4]], "WW")
        await write(sink, records, "WDWWD")
        expect(await target.stored(), {name: [f"text {name}"] for name in names}, "stored")


async def poison_leaves_nothing_written(target: Target) -> None:
    """A refused record refuses its batch, which may be written without it afterwards."""
    good = [record_of(target, "a", "one"), record_of(target, "c", "three")]
    async with opened(target) as sink:
        before = await target.fingerprint()
        try:
            await sink.write(make_batch(good[0], make_record(target.poison("b"), "b"), good[1]))
        except BatchError as error:
            expect(type(error.refusal), Poison, f"the refusal ({error.refusal})")
            expect(error.positions or (1,), (1,), "the positions at fault, where they are named,")
        else:
            raise AssertionError("a record the server refuses raised no BatchError")
        expect(await target.stored(), {}, "stored of a refused batch")
        expect(await target.fingerprint(), before, "after a refused batch, the server")
        await write(sink, good, "WW")


async def closes_twice_and_opens_again(target: Target) -> None:
    """After close a sink may be closed and opened again; until then it is unavailable."""
    record = record_of(target, "a", "one")
    sink = target.sink()
    await sink.close()
    async with opened(target, sink):
        await write(sink, [record], "W")
        await sink.close()
        await sink.close()
        await unavailable(sink.write(make_batch(record)), "write after close")
        await unavailable(sink.ping(), "ping after close")
        await sink.open(target.endpoint)
        await sink.ping()
        await write(sink, [record], "D")


async def opening_changes_nothing(target: Target) -> None:
    """Open and ping leave the server as it is."""
    before = await target.fingerprint()
    sink = target.sink()
    await sink.open(target.endpoint)
    try:
        await sink.ping()
    finally:
        await sink.close()
    expect(await target.fingerprint(), before, "after open and ping, the server")


async def prepares_again_and_at_once(target: Target) -> None:
    """Several workers may prepare at once, and again when there is data."""
    sinks = [target.sink() for _ in range(4)]
    try:
        await asyncio.gather(*(sink.open(target.endpoint) for sink in sinks))
        await asyncio.gather(*(sink.prepare() for sink in sinks))
        await write(sinks[0], [record_of(target, "a", "one")], "W")
        before = await target.fingerprint()
        await asyncio.gather(*(sink.prepare() for sink in sinks))
        expect(await target.fingerprint(), before, "after a second prepare, the server")
    finally:
        await asyncio.gather(*(sink.close() for sink in sinks))


async def changed_content_is_written(target: Target) -> None:
    """Another content hash is written, with a version that is equal, newer or none."""
    async with opened(target) as sink:
        for text, version in (("one", None), ("two", None), ("three", 3), ("four", 3), ("five", 4)):
            await write(sink, [record_of(target, "a", text, version)], "W")
            expect(await target.stored(), {"a": [text]}, f"after {text!r}, stored")


async def older_version_changes_nothing(target: Target) -> None:
    """A strictly newer stored version makes a Duplicate, and none of its batch's other records suffers."""
    async with opened(target) as sink:
        await write(sink, [record_of(target, "a", "new", 5)], "W")
        before = await target.fingerprint()
        await write(sink, [record_of(target, "a", "old", 4)], "D")
        expect(await target.fingerprint(), before, "after an older version, the server")
        await write(sink, [record_of(target, "a", "older", 1), record_of(target, "b", "first", 1)], "DW")
        expect(await target.stored(), {"a": ["new"], "b": ["first"]}, "stored")
        # A record without a version is written, and the stored version stays.
        await write(sink, [record_of(target, "a", "unversioned")], "W")
        await write(sink, [record_of(target, "a", "older", 4)], "D")
        expect(await target.stored(), {"a": ["unversioned"], "b": ["first"]}, "stored")


async def missing_hash_equals_nothing(target: Target) -> None:
    """A missing or empty content hash equals none, not even another such: the record is written."""
    record = record_of(target, "a", "one")
    unhashed = make_record(target.row("b", "two"), "b", content_hash="")
    async with opened(target) as sink:
        await write(sink, [record, unhashed], "WW")
        for stored_hash in (None, ""):
            await target.set_hash("a", stored_hash)
            await write(sink, [record, unhashed], "WW")
            await write(sink, [record], "D")


async def one_name_twice_leaves_the_later(target: Target) -> None:
    """Updates of one name in a batch take effect in their order."""
    async with opened(target) as sink:
        records = [record_of(target, "a", text, version) for version, text in enumerate(("one", "two", "three"))]
        await write(sink, [records[0], record_of(target, "b", "other"), *records[1:]], "WWWW")
        expect(await target.stored(), {"a": ["three"], "b": ["other"]}, "stored")


async def one_event_twice_is_stored_once(target: Target) -> None:
    """A key that is repeated in a batch, or was written before, is Duplicate, whatever else the record holds."""
    event = record_of(target, "a", "one")
    again = make_record(target.row("a", "once more"), "a", key=event.key)
    async with opened(target) as sink:
        await write(sink, [event, again, record_of(target, "b", "two")], "WDW")
        await write(sink, [again], "D")
        expect(await target.stored(), {"a": ["one"], "b": ["two"]}, "stored")


async def equal_events_are_all_stored(target: Target) -> None:
    """Events with keys of their own are all stored, however alike, and an older version is an event like any other."""
    versions = (2, 1, None)
    records = [
        make_record(target.row("a", "same"), "a", key=f"{place:064x}", content_hash="f" * 64, version=version)
        for place, version in enumerate(versions)
    ]
    async with opened(target) as sink:
        await write(sink, records[:2], "WW")
        await write(sink, records, "DDW")
        expect(await target.stored(), {"a": ["same"] * len(versions)}, "stored")


async def stopped_server_is_unavailable(target: Target, server: Control) -> None:
    """A stopped server is an outage for every call, noticed in time; afterwards the sink opens again."""
    records = [record_of(target, "a", "one"), record_of(target, "b", "two")]
    async with opened(target) as sink:
        await write(sink, records[:1], "W")
        await server.stop()
        try:
            async with asyncio.timeout(OUTAGE_LIMIT):
                await unavailable(sink.write(make_batch(*records)), "write without a server")
                await unavailable(sink.ping(), "ping without a server")
                await sink.close()
                await unavailable(sink.open(target.endpoint), "open without a server")
                await sink.close()
        finally:
            await server.start()
        await sink.open(target.endpoint)
        await write(sink, records, "DW")
        expect(await target.stored(), {"a": ["one"], "b": ["two"]}, "stored")


async def frozen_server_does_not_hang(target: Target, server: Control) -> None:
    """A write to a server that does not answer can be given up at once, and the sink closed."""
    records = [record_of(target, "a", "one"), record_of(target, "b", "two")]
    loop = asyncio.get_running_loop()
    async with opened(target) as sink:
        await write(sink, records[:1], "W")
        await server.freeze()
        try:
            started = loop.time()
            for wait in (sink.write(make_batch(*records)), sink.ping()):
                await gives_up(wait)
            await sink.close()
            await gives_up(sink.open(target.endpoint))
            await sink.close()
            if (taken := loop.time() - started) > OUTAGE_LIMIT:
                raise AssertionError(f"giving up a frozen server took {taken:.1f} s")
        finally:
            await server.thaw()
        await sink.open(target.endpoint)
        outcomes = await sink.write(make_batch(*records))
        expect(outcomes[0], DUPLICATE, "the outcome of what was written before")
        expect(await target.stored(), {"a": ["one"], "b": ["two"]}, "stored")


COMMON_POINTS = (
    written_is_stored,
    empty_batch_has_no_outcomes,
    repeated_batch_is_duplicate,
    outcomes_come_in_order,
    poison_leaves_nothing_written,
    closes_twice_and_opens_again,
    opening_changes_nothing,
    prepares_again_and_at_once,
)
STATE_POINTS = (changed_content_is_written, older_version_changes_nothing, missing_hash_equals_nothing)
EVENT_POINTS = (one_event_twice_is_stored_once, equal_events_are_all_stored)
OUTAGE_CONTRACT = (stopped_server_is_unavailable, frozen_server_does_not_hang)
