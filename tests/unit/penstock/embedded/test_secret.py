"""Files that hold a password."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from penstock.embedded.secret import write_secret

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def open_mask() -> Iterator[None]:
    """What a file gets by default, all can read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.mark.usefixtures("open_mask")
def test_its_owner_alone_can_read_it(tmp_path: Path) -> None:
    file = tmp_path / "password"
    write_secret(file, "first")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("first", 0o600)


def test_a_file_that_was_open_to_all_is_replaced(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("old and longer")
    file.chmod(0o666)
    write_secret(file, "new")
    assert (file.read_text(), file.stat().st_mode & 0o777) == ("new", 0o600)
