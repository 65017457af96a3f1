"""The files of a spill: which one is taken, what is done about damage, made here on real files."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import asynccontextmanager, closing
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from penstock.errors import JournalError, JournalFull, SettingsError
from penstock.journal_damage import put_aside
from penstock.message import make
from penstock.settings import SpillSettings
from penstock.spill_store import files, open_left, open_store
from support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from penstock.message import Message
    from penstock.spill_store import SpillStore

FIRST = "orders.1.sqlite"


@asynccontextmanager
async def opened(folder: Path, worker: str = "orders", **bounds: float) -> AsyncIterator[SpillStore]:
    settings = SpillSettings.model_validate({"path": str(folder), **bounds})
    store = await open_store(settings, worker, ManualClock())
    try:
        yield store
    finally:
        await store.close()


def message(name: str, body: bytes = b"{}") -> Message:
    return make(name, "shop", "order", body, headers={}, content_type="text/plain", now=0)


async def fill(store: SpillStore, *names: str) -> None:
    """Each in a commit of its own."""
    for name in names:
        await store.append([message(name, f"body of {name}".encode())])


async def names(store: SpillStore) -> list[str]:
    return [kept.message.id for kept in await store.page(100, 1_000_000)]


def kill(folder: Path) -> Path:
    """What a kill -9 at this moment would leave of a folder: its files, held by nobody."""
    left = folder.with_name(f"{folder.name}-left")
    shutil.copytree(folder, left)
    return left


async def test_what_was_appended_is_there_after_a_kill_in_order(tmp_path: Path) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await store.append([message("a"), message("b")])
        await store.append([message("c")])
        left = kill(folder)
    async with opened(left) as store:
        assert await names(store) == ["a", "b", "c"]
        assert [kept.message for kept in await store.page(1, 1)] == [message("a")]
        await store.remove([kept.position for kept in await store.page(2, 1_000_000)])
        assert await names(store) == ["c"]
        assert (store.empty, store.state.pending.records) == (False, 1)


async def test_a_page_is_bounded_by_records_and_by_bytes(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await store.append([message(name, bytes(1000)) for name in "abcd"])
        assert [len(await store.page(*bounds)) for bounds in ((3, 10_000), (9, 2500), (9, 1), (9, 10_000))] == [
            3, 2, 1, 4,
        ]  # fmt: skip


async def test_a_batch_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    async with opened(tmp_path, records=3) as store:
        await store.append([message("a"), message("b")])
        with pytest.raises(JournalFull, match="it may hold 3 records"):
            await store.append([message("c"), message("d")])
        assert await names(store) == ["a", "b"]
        await store.append([message("e")])
        assert await names(store) == ["a", "b", "e"]


async def test_each_replica_has_a_file_and_one_that_starts_takes_what_is_left(tmp_path: Path) -> None:
    async with opened(tmp_path) as first, opened(tmp_path) as second, opened(tmp_path) as third:
        assert [store.path.name for store in (first, second, third)] == [f"orders.{n}.sqlite" for n in (1, 2, 3)]
        await fill(second, "a")
        settings = SpillSettings(path=str(tmp_path))
        assert await open_left(settings, "orders", ManualClock()) is None
    async with opened(tmp_path) as store:
        assert (store.path.name, await names(store)) == ("orders.2.sqlite", ["a"])
        async with opened(tmp_path) as other:
            assert other.path.name == FIRST
    left = await open_left(settings, "orders", ManualClock())
    assert left is not None
    async with opened(tmp_path) as other:
        assert other.path.name == FIRST
    await left.close()


async def test_files_are_by_worker_whatever_it_is_called(tmp_path: Path) -> None:
    workers = ["orders", "orders.1", "shop/orders %", "1"]
    for worker in workers:
        async with opened(tmp_path, worker) as store:
            await fill(store, worker)
    for name in ("orders.0.sqlite", "orders.x.sqlite", "notes.txt"):
        (tmp_path / name).touch()
    assert [file.worker for file in files(tmp_path)] == sorted(workers)
    assert [file.path.name for file in files(tmp_path, "orders")] == [FIRST]
    for worker in workers:
        async with opened(tmp_path, worker) as store:
            assert await names(store) == [worker]


async def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"spill.path \(PENSTOCK_SPILL__PATH\): .*missing is no folder: make it"):
        await open_store(SpillSettings(path=str(tmp_path / "missing")), "orders", ManualClock())


async def test_another_penstocks_file_is_left_alone_and_told(tmp_path: Path) -> None:
    async with opened(tmp_path):
        pass
    with closing(sqlite3.connect(tmp_path / FIRST)) as connection:
        connection.execute("PRAGMA user_version = 9")
    with pytest.raises(JournalError, match="layout 9"):
        async with opened(tmp_path):
            pass
    # And it is free again.
    with closing(sqlite3.connect(tmp_path / FIRST)) as connection:
        connection.execute("PRAGMA user_version = 2")
    async with opened(tmp_path) as store:
        assert store.empty


# Damage.


def flip(path: Path, content: bytes) -> None:
    """Turn over the bits of the last byte of some content, wherever in the file it stands."""
    data = bytearray(path.read_bytes())
    at = data.index(content) + len(content) - 1
    data[at] ^= 0xFF
    path.write_bytes(data)


async def test_an_entry_that_is_damaged_is_kept_aside_and_the_others_are_drained(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "a", "b", "c")
    flip(tmp_path / FIRST, b"body of b")
    with capture_logs() as logs:
        async with opened(tmp_path) as store:
            assert await names(store) == ["a", "c"]
            assert (store.state.pending.records, store.state.damaged.records) == (2, 1)
    [told] = [line for line in logs if line["event"] == "spill_damaged"]
    assert (told["log_level"], told["records"]) == ("error", 1)
    with capture_logs() as logs:
        async with opened(tmp_path) as store:
            await store.remove([kept.position for kept in await store.page(10, 1_000_000)])
            assert (store.empty, store.state.damaged.records) == (True, 1)
    assert not [line for line in logs if line["event"] == "spill_damaged"]
    assert b"body of \x9d" in (tmp_path / FIRST).read_bytes()


async def test_an_entry_that_is_damaged_while_the_file_is_open(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "a", "b", "c")
        with closing(sqlite3.connect(tmp_path / FIRST)) as connection, connection:
            connection.execute("UPDATE entries SET payload = X'00' WHERE position = 1")
        assert await names(store) == ["b", "c"]
        assert (store.state.pending.records, store.state.damaged.records) == (2, 1)


async def test_a_damaged_stream_name_and_a_lost_payload_are_damage_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        await fill(store, "a", "b", "c", "d")
    with closing(sqlite3.connect(tmp_path / FIRST)) as connection, connection:
        connection.execute("UPDATE entries SET stream = CAST(X'ff6e' AS TEXT) WHERE position = 1")
        connection.execute("UPDATE entries SET checksum = 'x' WHERE position = 2")
        connection.execute("UPDATE entries SET stream = 'other' WHERE position = 4")
    async with opened(tmp_path) as store:
        assert await names(store) == ["c"]
        assert store.state.damaged.records == 3


async def test_a_header_that_is_overwritten_while_the_log_has_another_costs_nothing(tmp_path: Path) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await fill(store, "a", "b")
        left = kill(folder)
    with (left / FIRST).open("r+b") as file:
        file.write(bytes(100))
    async with opened(left) as store:
        assert await names(store) == ["a", "b"]


@pytest.mark.parametrize("bytes_of_header", [16, 100])
async def test_a_file_that_is_no_database_any_more_is_kept_aside_with_its_log(
    tmp_path: Path, bytes_of_header: int
) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await fill(store, "a")
        with closing(sqlite3.connect(folder / FIRST)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        await fill(store, "b")
        left = kill(folder)
    with (left / FIRST).open("r+b") as file:
        file.write(bytes(bytes_of_header))
    with capture_logs() as logs:
        async with opened(left) as store:
            assert store.empty
            await fill(store, "c")
    [told] = [line for line in logs if line["event"] == "spill_damaged"]
    assert told["log_level"] == "error"
    assert f"sqlite3 {told['kept_as']} .recover" in told["error"]
    aside = left / told["kept_as"]
    assert aside.name == f"{FIRST}.damaged-19700101T001640Z"
    assert b"body of b" in aside.with_name(f"{aside.name}-wal").read_bytes()
    async with opened(left) as store:
        assert await names(store) == ["c"]


async def test_a_file_whose_pages_are_corrupt_is_kept_aside(tmp_path: Path) -> None:
    async with opened(tmp_path) as store:
        for number in range(50):
            await store.append([message(str(number), os.urandom(500))])
    with (tmp_path / FIRST).open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"\xff" * 200)
    async with opened(tmp_path) as store:
        assert store.empty
    assert len(put_aside(tmp_path / FIRST)) == 1


async def test_a_file_that_was_emptied_does_not_take_its_log_with_it(tmp_path: Path) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await fill(store, "a")
        left = kill(folder)
    (left / FIRST).unlink()
    async with opened(left) as store:
        assert store.empty
    [log] = left.glob(f"{FIRST}.damaged-*-wal")
    assert b"body of a" in log.read_bytes()


async def test_two_damages_in_one_second_are_both_kept(tmp_path: Path) -> None:
    for content in (b"one" * 1000, b"two" * 1000):
        (tmp_path / FIRST).write_bytes(content)
        async with opened(tmp_path) as store:
            assert store.empty
    assert [path.read_bytes()[:3] for path in put_aside(tmp_path / FIRST)] == [b"one", b"two"]


async def test_a_log_cut_off_within_a_frame_loses_what_was_in_that_commit_and_says_so(tmp_path: Path) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await fill(store, "a", "b")
        size = (folder / f"{FIRST}-wal").stat().st_size
        await fill(store, "c")
        left = kill(folder)
    with (left / f"{FIRST}-wal").open("r+b") as log:
        log.truncate(size + 1000)
    with capture_logs() as logs:
        async with opened(left) as store:
            assert await names(store) == ["a", "b"]
    [told] = [line for line in logs if line["event"] == "spill_tail_torn"]
    assert (told["log_level"], told["bytes"]) == ("warning", 1000)
    [tail] = left.glob(f"{FIRST}.torn-*")
    assert tail.stat().st_size == 1000


@pytest.mark.parametrize("place", ["frame", "header"])
async def test_a_log_that_is_damaged_is_kept_aside_from_there_on(tmp_path: Path, place: str) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await fill(store, "a")
        size = (folder / f"{FIRST}-wal").stat().st_size
        await fill(store, "b", "c")
        left = kill(folder)
    log = left / f"{FIRST}-wal"
    data = bytearray(log.read_bytes())
    at = {"frame": size + 30, "header": 20}[place]
    data[at] ^= 0xFF
    log.write_bytes(data)
    # Not merely read again by the index beside it.
    (left / f"{FIRST}-shm").unlink(missing_ok=True)
    with capture_logs() as logs:
        async with opened(left) as store:
            assert await names(store) == {"frame": ["a"], "header": []}[place]
    assert [line["bytes"] for line in logs if line["event"] == "spill_tail_torn"] == [
        len(data) - {"frame": size, "header": 0}[place]
    ]
    [tail] = left.glob(f"{FIRST}.torn-*")
    assert b"body of c" in tail.read_bytes()


async def test_a_log_that_begins_anew_over_an_older_one_is_no_damage(tmp_path: Path) -> None:
    (folder := tmp_path / "spill").mkdir()
    async with opened(folder) as store:
        await fill(store, "a", "b", "c", "d")
        with closing(sqlite3.connect(folder / FIRST)) as connection:
            connection.execute("PRAGMA wal_checkpoint(PASSIVE)")
        await fill(store, "e")
        left = kill(folder)
    with capture_logs() as logs:
        async with opened(left) as store:
            assert await names(store) == list("abcde")
    assert not [line for line in logs if line["event"].startswith("spill_")]
