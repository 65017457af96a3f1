"""Fixtures of the framework's unit tests."""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str, str], None]]:
    """Install a package as pip would: its name, its entry points, and the text of its one module NAME_module."""
    monkeypatch.syspath_prepend(str(tmp_path))
    modules = []

    def write(package: str, entry_points: str, module: str) -> None:
        info = tmp_path / f"{package}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n"
            'Requires-Dist: no-such-thing>=1; extra == "special"\n',
            encoding="utf-8",
        )
        (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
        (tmp_path / f"{package}_module.py").write_text(module, encoding="utf-8")
        modules.append(f"{package}_module")
        importlib.invalidate_caches()

    yield write
    for name in modules:
        sys.modules.pop(name, None)
