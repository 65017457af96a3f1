"""Programs that tests run, and that .ci/install-servers installs."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def tool(name: str, package: str) -> str:
    """The path of a program; see `absent` for where there is none."""
    return shutil.which(name) or absent(f"{name} is absent: run `make servers`, or apt-get install {package}")


def absent(text: str) -> NoReturn:
    """Skip the test and say why; where PENSTOCK_REQUIRE_SERVICES is 1, fail."""
    if os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{text} (PENSTOCK_REQUIRE_SERVICES=1 makes this a failure)", pytrace=False)
    pytest.skip(text)
