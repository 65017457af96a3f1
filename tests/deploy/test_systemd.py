"""The systemd units: systemd takes them, their commands exist, and they bound and confine what they start."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from penstock.drill.installation import Installation
from penstock.settings import Limits

UNITS = Path(__file__).parents[2] / "compose" / "systemd"
SERVICES = ("penstock-worker@.service", "penstock-spill-drain@.service")
NAME = "discogs-table"


def keys_of(unit: str) -> dict[str, list[str]]:
    """What a unit sets, by key; a key may be set more than once."""
    found: dict[str, list[str]] = {}
    for line in (UNITS / unit).read_text().splitlines():
        if line and not line.startswith(("#", "[")):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is absent")
def test_systemd_takes_them_without_a_word(tmp_path: Path) -> None:
    command = f"{Path(sys.executable).parent}/penstock"
    for unit in UNITS.iterdir():
        text = unit.read_text().replace("/opt/penstock/bin/penstock", command)
        (tmp_path / unit.name.replace("@", f"@{NAME}")).write_text(text)
    units = sorted(map(str, tmp_path.iterdir()))
    assert len(units) == 3
    result = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--generators=no", *units],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    ours = [line for line in (result.stdout + result.stderr).splitlines() if "penstock" in line]
    assert (result.returncode, ours) == (0, [])


@pytest.mark.parametrize("unit", SERVICES)
def test_the_command_is_one_of_ours(unit: str) -> None:
    [command] = keys_of(unit)["ExecStart"]
    program, *words = shlex.split(command.replace("%i", NAME))
    assert Path(program).name == "penstock"
    # An option or a command that does not exist is refused all the same.
    result = Installation({}).penstock(*words, "--help")
    assert result.returncode == 0, result.stderr
    assert Installation({}).penstock(*words, "--no-such-option", "--help").returncode == 2


@pytest.mark.parametrize("unit", SERVICES)
def test_it_is_bounded_and_confined(unit: str) -> None:
    keys = keys_of(unit)
    for limit in ("MemoryMax", "MemoryHigh", "CPUQuota", "IOWeight", "TasksMax"):
        assert re.fullmatch(r"\d+[MG%]?", keys[limit][0]), limit
    assert keys["NoNewPrivileges"] == keys["PrivateTmp"] == ["yes"]
    assert keys["ProtectSystem"] == ["strict"]
    # The one place it may write to, where the spill is.
    assert keys["StateDirectory"] == ["penstock penstock/spill"]
    assert not {"ReadWritePaths", "Environment"} & keys.keys()
    assert float(keys["TimeoutStopSec"][0]) > Limits().drain_seconds
