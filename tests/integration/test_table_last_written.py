"""What the table sink says of when a row was written."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from penstock.errors import BatchError, SinkUnavailable
from penstock.sink import LastWritten
from penstock.testing import make_batch, make_record
from penstock_workers.table.row import TableRow
from penstock_workers.table.table import Table
from support.tables import ARTISTS, PLAYS, Database, artist

if TYPE_CHECKING:
    from penstock.record import Record
    from penstock_workers.table.sink import TableSink

WORDS = Table("words", {"language": "text", "place": "integer", "word": "text"}, key=("language", "place"))


def word(language: str, place: int, text: str) -> Record:
    return make_record(TableRow("words", {"language": language, "place": place, "word": text}), (language, place))


async def last(sink: TableSink, record: Record) -> datetime | None:
    [found] = await sink.last_written([record])
    return found


@pytest.mark.parametrize("mode", ["upsert", "update"])
async def test_a_row_has_the_time_of_its_last_write(database: Database, mode: str) -> None:
    async with database.open(ARTISTS, mode="upsert" if mode == "upsert" else "update") as sink:
        assert isinstance(sink, LastWritten)
        await sink.write(make_batch(artist("1", "{}"), artist("2", "{}")))
        before = datetime.now(UTC)
        assert await last(sink, artist("3")) is None
        first = await last(sink, artist("1", '{"other": "content"}'))
        assert first is not None
        assert first <= before
        await sink.write(make_batch(artist("1", '{"newer": 1}')))
        assert (await last(sink, artist("1")) or first) > before
        assert await last(sink, artist("2")) == first
        # A Duplicate writes nothing.
        second = await last(sink, artist("1"))
        await sink.write(make_batch(artist("1", '{"newer": 1}')))
        assert await last(sink, artist("1")) == second


async def test_a_key_of_two_columns_names_one_row(database: Database) -> None:
    async with database.open(WORDS) as sink:
        await sink.write(make_batch(word("en", 1, "a")))
        assert await last(sink, word("en", 1, "b")) is not None
        assert await last(sink, word("en", 2, "a")) is None
        assert await last(sink, word("de", 1, "a")) is None


async def test_an_event_has_the_time_of_its_own_write(database: Database) -> None:
    async with database.open(PLAYS, mode="append") as sink:
        one, other = (make_record(TableRow("plays", {"data": text}), "same") for text in ("1", "2"))
        await sink.write(make_batch(one))
        assert await last(sink, one) is not None
        assert await last(sink, other) is None


async def test_a_row_that_cannot_be_and_a_sink_that_is_closed(database: Database) -> None:
    async with database.open(ARTISTS) as sink:
        with pytest.raises(BatchError):
            await last(sink, make_record(TableRow("artists", {}), "no key"))
        with pytest.raises(BatchError):
            await last(sink, artist("\0"))
        assert await database.look.fetchval("SELECT count(*) FROM artists") == 0
    with pytest.raises(SinkUnavailable):
        await last(sink, artist("1"))


async def test_many_records_of_several_tables_are_answered_in_their_order(database: Database) -> None:
    async with database.open(ARTISTS, WORDS) as sink:
        await sink.write(make_batch(artist("1", "{}")))
        await sink.write(make_batch(word("en", 1, "a")))
        asked = [word("en", 1, "a"), artist("2", "{}"), artist("1", "{}"), word("de", 1, "b"), artist("1", "other")]
        times = await sink.last_written(asked)
        assert times == [await last(sink, record) for record in asked]
        assert [time is not None for time in times] == [True, False, True, False, True]
        assert times[0] != times[2]


async def test_many_events_are_answered_in_their_order(database: Database) -> None:
    async with database.open(PLAYS, mode="append") as sink:
        plays = [make_record(TableRow("plays", {"data": str(number)}), "same") for number in range(4)]
        await sink.write(make_batch(plays[2], plays[0]))
        times = await sink.last_written([*plays, plays[0]])
        assert [time is not None for time in times] == [True, False, True, False, True]
