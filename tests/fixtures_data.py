"""Where the real sample records are. They are not part of the project."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

BESIDE_THE_PROJECT = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder with `discogs/` and `musicbrainz/`; the test is skipped where it is absent."""
    folder = Path(os.environ.get("PENSTOCK_SAMPLE_DATA") or BESIDE_THE_PROJECT)
    if not (folder / "discogs").is_dir():
        pytest.skip(f"no sample records: {folder}/discogs is absent (set PENSTOCK_SAMPLE_DATA)")
    return folder
