"""Where the files of a package are."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from penstock.embedded.wheels import package_folder
from penstock.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_server"
    package.mkdir()
    (package / "__init__.py").write_text("raise ImportError('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    assert package_folder("some_server", "some-server") == package
    assert "some_server" not in sys.modules


def test_an_absent_package_is_told_in_one_line() -> None:
    with pytest.raises(UsageError, match=r"^the stack needs no-such-server, .*: pip install 'penstock\[embedded\]'$"):
        package_folder("no_such_server", "no-such-server")
