"""A look at a spill takes nothing, changes nothing, and tells what is wrong."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from penstock.errors import JournalError
from penstock.idempotency import KEY_HEADER
from penstock.journal_bounds import Usage
from penstock.journal_lease import Lease, holder
from penstock.message import make
from penstock.settings import SpillSettings
from penstock.spill_look import entries, look
from penstock.spill_store import open_store
from support.clock import ManualClock

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.message import Message


def message(name: str) -> Message:
    return make(name, "shop", "order", b"{}", headers={KEY_HEADER: f"key {name}"}, content_type="text/plain", now=0)


async def test_what_is_held_and_what_is_free(tmp_path: Path) -> None:
    clock, settings = ManualClock(), SpillSettings(path=str(tmp_path))
    store = await open_store(settings, "orders", clock)
    await store.append([message("a"), message("b")])
    clock.time += 5
    await store.append([message("c")])
    other = await open_store(settings, "notes", clock)
    await other.close()
    free, held = look(tmp_path)
    assert [(one.file.worker, one.holder, one.pending.records) for one in (free, held)] == [
        ("notes", None, 0),
        ("orders", str(os.getpid()), 3),
    ]
    assert (held.oldest, held.damaged, held.aside, held.trouble) == (clock.time - 5, Usage(), (), "")
    assert held.pending == store.state.pending
    assert (free.oldest, free.pending) == (None, Usage())
    found = list(entries(held.file.path, 2))
    assert [(one.key, one.routing_key, one.came) for one in found] == [
        ("key a", "order", clock.time - 5),
        ("key b", "order", clock.time - 5),
    ]
    assert [one.position for one in found] == [kept.position for kept in await store.page(2, 1_000_000)]
    # Looked at, and as it was.
    await store.append([message("d")])
    await store.close()
    [one] = look(tmp_path, "orders")
    assert (one.holder, one.pending.records) == (None, 4)


async def test_what_is_damaged_or_kept_aside_is_told(tmp_path: Path) -> None:
    settings = SpillSettings(path=str(tmp_path))
    store = await open_store(settings, "orders", ManualClock())
    await store.append([message("a"), message("b")])
    await store.close()
    path = tmp_path / "orders.1.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE entries SET payload = X'00' WHERE position = 1")
    assert [one.key for one in entries(path, 10)] == ["damaged", "key b"]
    await (await open_store(settings, "orders", ManualClock())).close()
    [one] = look(tmp_path)
    assert (one.pending.records, one.damaged) == (1, Usage(1, 1))
    path.write_bytes(b"no database" * 1000)
    [one] = look(tmp_path)
    assert "cannot be used: file is not a database: restore the file" in one.trouble
    with pytest.raises(JournalError, match="file is not a database"):
        list(entries(path, 10))
    await (await open_store(settings, "orders", ManualClock())).close()
    [one] = look(tmp_path)
    assert ([found.name for found in one.aside], one.trouble) == (["orders.1.sqlite.damaged-19700101T001640Z"], "")


def test_who_holds_a_lease(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    assert holder(path) is None
    with Lease(path):
        assert holder(path) == str(os.getpid())
        (tmp_path / "journal.sqlite.lock").write_text("")
        assert holder(path) == "another process"
    assert holder(path) is None
