"""Programs that tests run and `make servers` installs; where one is absent, the test says so."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NoReturn

import pytest

if TYPE_CHECKING:
    from penstock.drill.servers import Unavailable


def tool(name: str, package: str) -> str:
    """The path of a program, which comes with a package of Debian's; see `absent` for where there is none."""
    return shutil.which(name) or absent(f"{name} is absent: run `make servers`, or apt-get install {package}")


def absent(reason: str | Unavailable) -> NoReturn:
    """Skip the test, saying what is absent and what brings it; with PENSTOCK_REQUIRE_SERVICES=1, fail it."""
    if os.environ.get("PENSTOCK_REQUIRE_SERVICES") == "1":
        pytest.fail(f"{reason} (PENSTOCK_REQUIRE_SERVICES=1 makes this a failure)", pytrace=False)
    pytest.skip(str(reason))
