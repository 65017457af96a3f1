"""The contract kit finds what is broken: each sink here breaks one point, and that point says so."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from contract.targets import MemoryTarget
from penstock import sink_contract
from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import DUPLICATE, WRITTEN, Transient
from penstock.testing import MemorySink, make_batch, make_record

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from penstock.outcome import Outcome
    from penstock.record import Batch
    from penstock.sink import Endpoint
    from penstock.sink_contract import Target
    from penstock.worker import Mode

    Point = Callable[[Target], Awaitable[None]]


class LyingSink(MemorySink):
    """Says that it wrote and does nothing."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        return [WRITTEN] * len(batch)


class ForgetfulSink(MemorySink):
    """Takes nothing for a duplicate."""

    def _upsert(self, record: Any) -> bool:
        self.states[record.natural_key] = record
        return True

    def _append(self, record: Any) -> bool:
        self.events.append(record)
        return True


class UntidySink(MemorySink):
    """Writes what comes before the refused record."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        for record in batch.records:
            if not self.refuses(record):
                await super().write(make_batch(record))
        return await super().write(batch)


class HastySink(MemorySink):
    """Gives its outcomes duplicates last."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        return sorted(await super().write(batch), key=lambda outcome: outcome == DUPLICATE)


class SoftSink(MemorySink):
    """Takes poison for a passing failure."""

    async def write(self, batch: Batch) -> Sequence[Outcome]:
        try:
            return await super().write(batch)
        except BatchError as error:
            raise BatchError(Transient("later", "Test", "later"), error.positions) from error


class ImmortalSink(MemorySink):
    """Goes on after close."""

    async def close(self) -> None:
        """Keep all."""


class EagerSink(MemorySink):
    """Writes as it opens."""

    async def open(self, endpoint: Endpoint) -> None:
        await super().open(endpoint)
        self.events.append(make_record({"name": "x", "text": "x"}, "x"))


@pytest.mark.parametrize(
    ("kind", "mode", "point", "text"),
    [
        (LyingSink, "upsert", sink_contract.written_is_stored, "stored"),
        (LyingSink, "append", sink_contract.repeated_batch_is_duplicate, "outcomes"),
        (LyingSink, "upsert", sink_contract.poison_leaves_nothing_written, "no BatchError"),
        (ForgetfulSink, "upsert", sink_contract.repeated_batch_is_duplicate, "outcomes"),
        (ForgetfulSink, "append", sink_contract.repeated_batch_is_duplicate, "outcomes"),
        (ForgetfulSink, "upsert", sink_contract.older_version_changes_nothing, "outcomes"),
        (ForgetfulSink, "update", sink_contract.missing_hash_equals_nothing, "outcomes"),
        (ForgetfulSink, "append", sink_contract.one_event_twice_is_stored_once, "outcomes"),
        (UntidySink, "upsert", sink_contract.poison_leaves_nothing_written, "stored"),
        (SoftSink, "upsert", sink_contract.poison_leaves_nothing_written, "the refusal"),
        (HastySink, "upsert", sink_contract.outcomes_come_in_order, "outcomes"),
        (ImmortalSink, "upsert", sink_contract.closes_twice_and_opens_again, "write after close"),
        (EagerSink, "append", sink_contract.opening_changes_nothing, "after open and ping"),
    ],
)
async def test_a_broken_sink_is_found(kind: type[MemorySink], mode: Mode, point: Point, text: str) -> None:
    with pytest.raises(AssertionError, match=text):
        await point(MemoryTarget("", mode, kind))


def test_every_point_is_in_the_contract() -> None:
    points = {
        function
        for name, function in vars(sink_contract).items()
        if callable(function) and getattr(function, "__module__", "") == sink_contract.__name__
        if not name.startswith("_") and name not in {"Target", "Control", "contract"}
    }
    modes: tuple[Mode, ...] = ("upsert", "update", "append")
    assert points == {
        *sink_contract.OUTAGE_CONTRACT,
        *(point for mode in modes for point in sink_contract.contract(mode)),
    }


async def test_a_memory_sink_in_an_outage_refuses_everything_but_to_close() -> None:
    target = MemoryTarget("", "upsert")
    sink = target.sink()
    await sink.open(target.endpoint)
    sink.outage = SinkUnavailable("away")
    for call in (sink.open(target.endpoint), sink.prepare(), sink.ping(), sink.write(make_batch())):
        with pytest.raises(SinkUnavailable, match="away"):
            await call
    await sink.close()


def test_a_record_made_by_hand_differs_with_what_it_is_made_of() -> None:
    records = [
        make_record({"a": 1}, "x"),
        make_record({"a": 2}, "x"),
        make_record({"a": 1}, "y"),
        make_record({"a": 1}, "x", version=1),
    ]
    assert len({record.content_hash for record in records}) == len(records)
    assert make_record({"a": 1}, "x").key == records[0].key
    assert len(records[0].key) == 64
