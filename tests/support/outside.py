"""The outside package in an environment of its own, as its users would install it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Sequence

TESTS = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def outside_python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python that has this checkout and, installed by pip from its folder, the package tests/outside."""
    folder = tmp_path_factory.mktemp("outside") / "venv"
    _uv("venv", "--python", sys.executable, str(folder))
    python = folder / "bin" / "python"
    _uv("pip", "install", "--python", str(python), f"{TESTS.parent}[table]", str(TESTS / "outside"))
    return str(python)


def _uv(*words: str) -> None:
    command: Sequence[str] = [sys.executable, "-m", "uv", *words]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command}\n{result.stderr}"
