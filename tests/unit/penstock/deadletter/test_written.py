"""Whether a letter's row was written since: which endpoints are asked, and what is not known."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from pamqp.commands import Basic

from penstock.deadletter.view import letter_of
from penstock.deadletter.written import Rows, key_is_forgotten
from penstock.errors import BatchError, SinkUnavailable
from penstock.outcome import Poison
from penstock.settings import FailoverSettings, LedgerSettings, Settings
from penstock.sink import Endpoint, LastWritten
from penstock.testing import MemorySink, make_delivery
from support.notes import GatedSink, notes_worker

if TYPE_CHECKING:
    from collections.abc import Sequence
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
        self.questions: list[int] = []

    async def open(self, endpoint: Endpoint) -> None:
        await super().open(endpoint)
        found = self.times[endpoint.name]
        if isinstance(found, SinkUnavailable):
            raise found

    async def last_written(self, records: Sequence[Record]) -> Sequence[datetime | None]:
        assert self.opened is not None
        self.questions.append(len(records))
        found = self.times[self.opened.name]
        if isinstance(found, Exception):
            raise found
        if any(record.natural_key == 500 for record in records):
            raise BatchError(Poison("bad_data", "Test", "refused"))
        return [found if record.natural_key != 404 else None for record in records]


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
        return bool(await rows.written_since([one]))


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
        assert not await rows.written_since([letter()])


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
        assert not await rows.written_since([letter()])
        times["one"] = LATER
        assert not await rows.written_since([letter()])
        assert await rows.written_since([letter(2)])


async def test_many_letters_are_one_question_and_each_has_its_own_answer() -> None:
    sink = TimedSink({"one": LATER})
    one = replace(worker({"one": LATER}), sink=lambda _worker, _settings: sink)
    asked = [letter(1), letter(404), letter(1), letter(body=b"not JSON"), letter(2, failed_at=None), letter(3, LATER)]
    async with Rows(one, Settings()) as rows:
        assert await rows.written_since(asked) == {asked[0], asked[2]}
        assert sink.questions == [4]
        # 404 and 3 were let through, so that their rows may be those letters by now.
        assert not await rows.written_since([letter(404), letter(3)])
        assert sink.questions == [4]


async def test_letters_of_one_row_that_are_asked_for_together_are_let_through_after_the_first() -> None:
    asked = [letter(1, LATER), letter(1, FAILED), letter(2, FAILED)]
    async with Rows(worker({"one": LATER}), Settings()) as rows:
        assert await rows.written_since(asked) == {asked[2]}


async def test_one_that_the_sink_refuses_takes_no_answer_from_the_others() -> None:
    asked = [letter(1), letter(500), letter(2)]
    async with Rows(worker({"one": LATER}), Settings()) as rows:
        assert await rows.written_since(asked) == {asked[0], asked[2]}


DAY = timedelta(days=1)
FIRST = FAILED - 7 * DAY


@pytest.mark.parametrize(
    ("first", "failed", "dead", "counts_from"),
    [
        (None, FAILED, None, FAILED),
        (FIRST, FAILED, None, FIRST),
        (FIRST.replace(tzinfo=None), FAILED, None, FIRST),
        (FIRST, None, FAILED, FIRST),
        (None, None, FAILED, FAILED),
        # A publisher's clock that is ahead makes no letter younger.
        (FAILED + DAY, FAILED, None, FAILED),
    ],
)
def test_a_key_is_kept_from_the_earliest_time_that_is_known(
    first: datetime | None, failed: datetime | None, dead: datetime | None, counts_from: datetime
) -> None:
    headers = {
        **({"penstock-failed-at": failed.isoformat()} if failed else {}),
        **({"x-death": [{"reason": "expired", "queue": "notes", "time": dead}]} if dead else {}),
    }
    one = letter_of("notes.dlq", 0, make_delivery(properties=Basic.Properties(headers=headers, timestamp=first)))
    limit = (counts_from + 30 * DAY).timestamp()
    events, states = replace(worker({}), mode="append"), worker({})
    assert not key_is_forgotten(events, Settings(), one, limit)
    assert key_is_forgotten(events, Settings(), one, limit + 0.001)
    assert not key_is_forgotten(states, Settings(), one, limit + 0.001)
    shorter = Settings(ledger=LedgerSettings(age=10 * 86_400))
    assert key_is_forgotten(events, shorter, one, (counts_from + 11 * DAY).timestamp())


def test_a_letter_whose_time_nobody_knows_is_not_too_old() -> None:
    assert not key_is_forgotten(replace(worker({}), mode="append"), Settings(), letter(failed_at=None), 4e9)
