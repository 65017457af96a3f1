"""The project's own commands, as somebody in a checkout types them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where the tools of `make install` are.
BIN = Path(sys.executable).parent


def run(
    *words: str | Path, seconds: float = 120, given: str = "", **environment: str
) -> subprocess.CompletedProcess[str]:
    """Run a command in the checkout to its end, with `given` as its standard input."""
    return subprocess.run(
        list(map(str, words)),
        cwd=ROOT,
        # What an outer make says of itself is not for the inner one.
        env={**{name: value for name, value in os.environ.items() if not name.startswith("MAKE")}, **environment},
        input=given,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def done(*words: str | Path, seconds: float = 120, given: str = "", **environment: str) -> str:
    """Run a command that must succeed; its standard output."""
    result = run(*words, seconds=seconds, given=given, **environment)
    assert result.returncode == 0, f"{words} ended with {result.returncode}\n{result.stdout}{result.stderr}"
    return result.stdout
