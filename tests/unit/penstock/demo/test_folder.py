"""One demo at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.demo.folder import only_one
from penstock.errors import StackError, UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_second_one_is_told_in_a_line_and_a_later_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "penstock"
    with (
        only_one(folder),
        pytest.raises(StackError, match=f"another demo is running, in {folder}: wait"),
        only_one(folder),
    ):
        pass
    with only_one(folder):
        assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.raises(UsageError, match=r"file/penstock cannot be used \(Not a directory\): name a .* XDG_DATA_HOME"),
        only_one(tmp_path / "file" / "penstock"),
    ):
        pass
