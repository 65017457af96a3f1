"""The journal at any point of its life, ended there: what was committed is there in order, and nothing else."""

from __future__ import annotations

import shutil
from contextlib import closing
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.journal import Journal
from penstock.journal_bounds import Bounds

if TYPE_CHECKING:
    import pytest

#: What a journal is asked to do, one commit each: payload sizes to append, and how many of the oldest to remove.
COMMITS = st.lists(st.tuples(st.lists(st.integers(0, 9000), max_size=3), st.integers(0, 2)), min_size=1, max_size=8)


@settings(max_examples=60, deadline=None)
@given(COMMITS, st.floats(0, 1))
def test_a_log_that_ends_at_any_byte_ends_with_the_last_whole_commit(
    tmp_path_factory: pytest.TempPathFactory, commits: list[tuple[list[int], int]], share: float
) -> None:
    folder = tmp_path_factory.mktemp("kills")
    path, log = folder / "journal.sqlite", folder / "journal.sqlite-wal"
    held: dict[int, bytes] = {}
    with closing(Journal(path, Bounds())) as journal:
        history = [(log.stat().st_size, dict(held))]
        for number, (sizes, removed) in enumerate(commits):
            for size in sizes:
                payload = bytes([number]) * size
                held[journal.append("a", payload)] = payload
            for position in list(held)[:removed]:
                journal.remove(position)
                del held[position]
            journal.commit()
            history.append((log.stat().st_size, dict(held)))
        first, last = history[0][0], history[-1][0]
        end = first + int(share * (last - first))
        left = shutil.copytree(folder, folder.with_name(f"{folder.name}-left"))
    (left / "journal.sqlite-shm").unlink(missing_ok=True)
    with (left / "journal.sqlite-wal").open("r+b") as torn:
        torn.truncate(end)
    expected = [entries for size, entries in history if size <= end][-1]
    with closing(Journal(left / "journal.sqlite")) as journal:
        assert [(entry.position, entry.payload) for entry in journal.entries()] == sorted(expected.items())
