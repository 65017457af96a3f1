"""A folder that one process at a time works on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.embedded.folder import held
from penstock.errors import StackError, UsageError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from pathlib import Path


def work_on(folder: Path) -> AbstractContextManager[None]:
    return held(folder, mend="choose another", busy="somebody is at work")


def test_a_second_one_is_told_and_a_later_one_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "penstock"
    with work_on(folder), pytest.raises(StackError, match=r"^somebody is at work$"), work_on(folder):
        pass
    with work_on(folder):
        assert list(folder.iterdir()) == []


def test_a_folder_that_cannot_be_had(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    text = r"file/penstock cannot be used \(Not a directory\): choose another$"
    with pytest.raises(UsageError, match=text), work_on(tmp_path / "file" / "penstock"):
        pass
