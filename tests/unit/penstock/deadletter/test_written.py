"""Whether a letter's row was written since: which endpoints are asked, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic

from penstock.deadletter.view import letter_of
from penstock.deadletter.written import Rows
from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import Poison
from penstock.settings import FailoverSettings, Settings
from penstock.sink import Endpoint, LastWritten
from penstock.testing import MemorySink, make_delivery
from support.notes import GatedSink, notes_worker

if TYPE_CHECKING:
    from typing import Literal

    from penstock.deadletter.view import Letter
    from penstock.record import Record
    from penstock.worker import Worker

FAILED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
LATER, EARLIER = FAILED + timedelta(seconds=1), FAILED - timedelta(seconds=1)


class TimedSink(MemorySink):
    """Says the times that it is given, by endpoint."""

    def __init__(self, times: dict[str, datetime | Exception | None]) -> None:
        super().__init__()
        self.times = times

    async def open(self, endpoint: Endpoint) -> None:
        await super().open(endpoint)
        found = self.times[endpoint.name]
        if isinstance(found, SinkUnavailable):
            raise found

    async def last_written(self, record: Record) -> datetime | None:
        assert self.opened is not None
        found = self.times[self.opened.name]
        if isinstance(found, Exception):
            raise found
        return found if record.natural_key != 404 else None


def letter(number: int = 1, failed_at: datetime | None = FAILED, body: bytes | None = None) -> Letter:
    headers = {"penstock-failed-at": failed_at.isoformat()} if failed_at else {}
    body = json.dumps({"id": number, "version": 1}).encode() if body is None else body
    return letter_of("notes.dlq", 0, make_delivery(body, properties=Basic.Properties(headers=headers)))


def worker(times: dict[str, datetime | Exception | None]) -> Worker:
    return replace(
        notes_worker(GatedSink()),
        sink=lambda _worker, _settings: TimedSink(times),
        endpoints=lambda _settings: [Endpoint(name, "") for name in times],
        version=lambda note: note.version,
    )


async def since(
    times: dict[str, datetime | Exception | None],
    one: Letter,
    mode: Literal["replica", "independent"] | None = None,
) -> bool:
    settings = Settings(failover=FailoverSettings(mode=mode))
    async with Rows(worker(times), settings) as rows:
        return await rows.written_since(one)


async def test_a_row_that_was_written_after_the_letter_failed() -> None:
    assert isinstance(TimedSink({}), LastWritten)
    assert await since({"one": LATER}, letter())
    assert not await since({"one": EARLIER}, letter())
    assert not await since({"one": FAILED}, letter())
    assert not await since({"one": LATER}, letter(404))


async def test_what_nobody_knows_is_not_held_against_a_letter() -> None:
    assert not await since({"one": LATER}, letter(failed_at=None))
    assert not await since({"one": LATER}, letter(body=b"not JSON"))
    assert not await since({"one": BatchError(Poison("bad_data", "Test", "refused"))}, letter())
    async with Rows(notes_worker(GatedSink()), Settings()) as rows:
        assert not await rows.written_since(letter())


async def test_the_latest_of_all_endpoints_counts() -> None:
    assert await since({"one": EARLIER, "two": LATER}, letter(), "replica")
    assert await since({"one": LATER, "two": None}, letter(), "independent")


async def test_an_endpoint_that_is_away_may_be_the_one_that_knows() -> None:
    away = SinkUnavailable("two is away")
    assert not await since({"one": EARLIER, "two": away}, letter(), "replica")
    with pytest.raises(SinkUnavailable, match="two"):
        await since({"one": EARLIER, "two": away}, letter(), "independent")
    with pytest.raises(SinkUnavailable, match="two"):
        await since({"two": away}, letter())


async def test_letters_of_one_row_are_all_let_through_after_the_first() -> None:
    times: dict[str, datetime | Exception | None] = {"one": None}
    async with Rows(worker(times), Settings()) as rows:
        assert not await rows.written_since(letter())
        times["one"] = LATER
        assert not await rows.written_since(letter())
        assert await rows.written_since(letter(2))
