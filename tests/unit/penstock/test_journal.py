"""The journal keeps what was committed, in order, and says what is wrong with its file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.errors import JournalError, JournalFull
from penstock.journal import Journal
from penstock.journal_bounds import Bounds, Usage
from support.clock import ManualClock
from support.disk import full_disk

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def kept(path: Path) -> list[tuple[str, bytes]]:
    """What a process that starts now finds."""
    with closing(Journal(path)) as journal:
        return [(entry.stream, entry.payload) for entry in journal.entries()]


def test_what_was_committed_is_there_again_in_order(path: Path) -> None:
    with closing(Journal(path)) as journal:
        positions = [journal.append(stream, payload) for stream, payload in (("b", b"1"), ("a", b"2"), ("b", b""))]
        journal.commit()
        assert positions == sorted(positions)
        assert [entry.position for entry in journal.entries()] == positions
        journal.append("b", b"not committed")
    assert kept(path) == [("b", b"1"), ("a", b"2"), ("b", b"")]


def test_no_position_is_given_twice_over_restarts_and_times_with_nothing_in_it(path: Path) -> None:
    with closing(Journal(path)) as journal:
        positions = [journal.append("a", b"1"), journal.append("a", b"2")]
        journal.commit()
        journal.drop("a")
        # Gone before the commit, which may still tell of its position elsewhere.
        positions.append(journal.append("b", b"passing"))
        journal.remove(positions[-1])
        journal.commit()
    for _ in range(2):
        with closing(Journal(path)) as journal:
            assert list(journal.entries()) == []
            journal.put("key", b"value")
            journal.commit()
    with closing(Journal(path)) as journal:
        positions.append(journal.append("a", b"3"))
        journal.commit()
    assert positions == sorted(set(positions))


def test_no_position_is_given_twice_where_the_last_entry_leaves_in_a_later_life(path: Path) -> None:
    with closing(Journal(path)) as journal:
        first, last = journal.append("a", b"1"), journal.append("a", b"2")
        journal.commit()
    with closing(Journal(path)) as journal:
        journal.remove(last)
        journal.commit()
    with closing(Journal(path)) as journal:
        third = journal.append("a", b"3")
        journal.commit()
    assert first < last < third


def test_a_commit_is_all_or_nothing_and_only_when_something_changed(path: Path) -> None:
    with closing(Journal(path)) as journal:
        assert not journal.changed
        passing = journal.append("a", b"1")
        assert journal.changed
        journal.remove(passing)
        assert not journal.changed
        stays, goes = journal.append("a", b"2"), journal.append("a", b"3")
        journal.commit()
        assert not journal.changed
        journal.replace(stays, "a", b"two")
        journal.remove(goes)
        journal.remove(goes + 1000)
        journal.commit()
    assert kept(path) == [("a", b"two")]


def test_a_dropped_stream_may_be_filled_again_at_once(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.append("a", b"old")
        journal.append("b", b"other")
        journal.commit()
        journal.append("a", b"old too")
        journal.drop("a")
        journal.append("a", b"new")
        journal.commit()
    assert kept(path) == [("b", b"other"), ("a", b"new")]


def test_values_are_kept_under_keys(path: Path) -> None:
    with closing(Journal(path)) as journal:
        assert journal.get("key") is None
        journal.put("key", b"one")
        assert journal.get("key") == b"one"
        journal.commit()
        journal.put("key", b"two")
        journal.put("gone", b"")
        journal.commit()
        journal.put("gone", None)
        assert journal.get("gone") is None
        journal.commit()
    with closing(Journal(path)) as journal:
        assert (journal.get("key"), journal.get("gone")) == (b"two", None)


def by_stream_too(journal: Journal, committed: Mapping[int, tuple[str, bytes]]) -> None:
    """What the journal says of each stream is what is committed."""
    for stream in ("a", "b", "moved"):
        mine = [payload for _, (name, payload) in sorted(committed.items()) if name == stream]
        assert [entry.payload for entry in journal.entries(stream)] == mine
        assert journal.usage(stream) == Usage(len(mine), sum(map(len, mine)))


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.sampled_from("ab"), st.binary(max_size=3)),
        st.tuples(st.just("remove"), st.integers(1, 12), st.just(b"")),
        st.tuples(st.just("replace"), st.integers(1, 12), st.binary(max_size=3)),
        st.tuples(st.just("move"), st.integers(1, 12), st.binary(max_size=3)),
        st.tuples(st.just("drop"), st.sampled_from("ab"), st.just(b"")),
        st.tuples(st.sampled_from(["commit", "restart", "forget"]), st.just(""), st.just(b"")),
    ),
    max_size=30,
)


@settings(max_examples=40)
@given(STEPS)
def test_any_order_of_changes_gives_what_a_plain_list_would(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str | int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("model") / "journal.sqlite"
    now: dict[int, tuple[str, bytes]] = {}
    committed: dict[int, tuple[str, bytes]] = {}
    bounds = Bounds(records=1000)
    journal = Journal(path, bounds)
    for step, which, payload in steps:
        match step, which:
            case "append", str():
                now[journal.append(which, payload)] = (which, payload)
            case "remove", int():
                journal.remove(which)
                now.pop(which, None)
            case "replace", int() if which in now:
                journal.replace(which, now[which][0], payload)
                now[which] = (now[which][0], payload)
            case "move", int() if which in now:
                now[which] = ("moved", payload)
                journal.commit()  # no drop is to be in the same one
                journal.replace(which, "moved", payload)
                journal.commit()
                committed = dict(now)
            case "forget", _:
                journal.forget()
                now = dict(committed)
            case "drop", str():
                journal.drop(which)
                now = {position: entry for position, entry in now.items() if entry[0] != which}
            case "commit", _:
                journal.commit()
                committed = dict(now)
            case "restart", _:
                journal.close()
                journal = Journal(path, bounds)
                now = dict(committed)
        by_stream_too(journal, committed)
        assert {at: (stream, found) for at, stream, found in journal.entries()} == committed
    journal.close()


def test_it_is_for_one_process_and_for_one_user(path: Path) -> None:
    with closing(Journal(path)):
        assert path.stat().st_mode & 0o777 == 0o600
        with pytest.raises(JournalError, match=rf"{path} is held by process {os.getpid()} \({path}.lock\): stop"):
            Journal(path)
    with closing(Journal(path)) as journal:
        assert list(journal.entries()) == []


def test_a_full_disk_is_told_and_loses_nothing(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.append("a", b"first")
        journal.commit()
        journal.append("a", bytes(200_000))
        with full_disk(100_000), pytest.raises(JournalError, match=rf"{path} cannot be used: .*: free some space"):
            journal.commit()
        assert [entry.payload for entry in journal.entries()] == [b"first"]
        journal.commit()
    assert kept(path) == [("a", b"first"), ("a", bytes(200_000))]


def test_a_full_disk_at_the_start(path: Path) -> None:
    with full_disk(0), pytest.raises(JournalError, match=rf"{path}.lock cannot be taken: File too large: free some"):
        Journal(path)
    assert kept(path) == []


def test_a_damaged_entry_is_named(path: Path) -> None:
    with closing(Journal(path)) as journal:
        position = journal.append("a", b"payload")
        journal.put("key", b"value")
        journal.remove(journal.append("a", b"passing"))
        journal.commit()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET payload = X'00'")
        connection.execute("UPDATE facts SET value = X'00' WHERE key = 'key'")
    with closing(Journal(path)) as journal:
        with pytest.raises(JournalError, match=rf"entry {position} of the journal {path} is damaged .*restore"):
            list(journal.entries())
        with pytest.raises(JournalError, match=rf"the value 'key' of the journal {path} is damaged"):
            journal.get("key")
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE facts SET value = X'00'")
    # Which positions were given is not known any more.
    with pytest.raises(JournalError, match=rf"the value 'last position' of the journal {path} is damaged"):
        Journal(path)


@pytest.mark.parametrize("content", [b"no database at all, but long enough to be one" * 100, b"SQLite format 3\0" * 64])
def test_another_kind_of_file_is_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(JournalError, match=rf"{path} cannot be used: .*: restore the file from a copy"):
        Journal(path)


def test_the_file_of_another_penstock_is_left_alone(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(JournalError, match=rf"{path} has layout 9, this Penstock knows 2: use the Penstock"):
        Journal(path)


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "journal.sqlite"
    with pytest.raises(JournalError, match=rf"{path} cannot be made: No such file or directory: check its folder"):
        Journal(path)


def test_the_file_of_an_earlier_layout_is_taken_over(path: Path) -> None:
    with closing(Journal(path)) as journal:
        journal.append("a", b"payload")
        journal.commit()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("ALTER TABLE entries DROP COLUMN appended_at")
        connection.execute("PRAGMA user_version = 1")
    with closing(Journal(path, Bounds(age=60))) as journal:
        assert [entry.payload for entry in journal.entries()] == [b"payload"]
        # When it came is not known, so it counts as old.
        with pytest.raises(JournalFull, match="its oldest record waits"):
            journal.append("a", b"more")


def test_it_takes_no_more_records_than_it_may_hold(path: Path) -> None:
    with closing(Journal(path, Bounds(records=2))) as journal:
        first = journal.append("a", b"1")
        journal.commit()
        journal.append("b", b"2")
        with pytest.raises(JournalFull, match=rf"{path} is full: it may hold 2 records; nothing was dropped"):
            journal.append("a", b"3")
        journal.commit()
        journal.remove(first)
        with pytest.raises(JournalFull):
            journal.append("a", b"3")
        journal.commit()
        journal.append("a", b"3")
        journal.commit()
    assert kept(path) == [("b", b"2"), ("a", b"3")]
    with closing(Journal(path, Bounds(records=2))) as journal, pytest.raises(JournalFull):
        journal.append("a", b"4")


def test_it_takes_no_more_bytes_than_it_may_hold(path: Path) -> None:
    with closing(Journal(path, Bounds(byte_size=10))) as journal:
        passing = journal.append("a", b"123456")
        with pytest.raises(JournalFull, match="it holds 6 bytes and may hold 10, this one has 5"):
            journal.append("a", b"12345")
        journal.remove(passing)
        journal.append("a", b"12345")
        journal.append("a", b"12345")
        journal.drop("a")
        journal.append("a", b"1234567890")
        journal.commit()
    assert kept(path) == [("a", b"1234567890")]


def test_it_takes_no_more_while_the_oldest_of_the_stream_waits_too_long(path: Path) -> None:
    clock = ManualClock()
    with closing(Journal(path, Bounds(age=60), clock)) as journal:
        first = journal.append("a", b"1")
        journal.commit()
        assert (journal.oldest("a"), journal.oldest("b")) == (clock.time, None)
        clock.time += 60
        journal.append("a", b"2")
        clock.time += 1
        journal.commit()
        with pytest.raises(JournalFull, match="its oldest record waits 61 s, 60 are allowed"):
            journal.append("a", b"3")
        journal.append("b", b"another stream")
        journal.remove(first)
        journal.commit()
        journal.append("a", b"3")
        journal.commit()
    assert kept(path) == [("a", b"2"), ("b", b"another stream"), ("a", b"3")]
