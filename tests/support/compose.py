"""`docker compose`, in either of its two generations; without an engine it can still say what a file means."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import yaml

from penstock.drill.servers import Unavailable
from support.checkout import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FOLDER = ROOT / "compose"
FILE = FOLDER / "compose.yaml"


def find_compose() -> list[str]:
    """The command: the plugin of today, else the program of before. Raises Unavailable."""
    if found := shutil.which("docker"):
        plugin = [found, "compose"]
        if subprocess.run([*plugin, "version"], capture_output=True, check=False).returncode == 0:
            return plugin
    if found := shutil.which("docker-compose"):
        return [found]
    raise Unavailable("neither `docker compose` nor docker-compose is installed: run `make servers`")


def rendered(variables: Path) -> dict[str, Any]:
    """What compose.yaml means with the variables of a file, the profiles among them, as `config` prints it."""
    meant: dict[str, Any] = yaml.safe_load(compose("--env-file", variables, "--file", FILE, "config"))
    [chosen] = re.findall(r"^COMPOSE_PROFILES=(.*)$", variables.read_text(), re.MULTILINE)
    # The program of before starts what the plugin does, and prints all there is.
    started = {
        name: service
        for name, service in meant["services"].items()
        if not {*service.get("profiles", ())}.isdisjoint(chosen.split(","))
    }
    return {**meant, "services": started}


def compose(*words: str | Path, seconds: float = 60) -> str:
    """Run it to a good end, with no variables of this shell's; its standard output."""
    return run_well([*find_compose(), *words], ("PATH", "HOME", "DOCKER_HOST"), seconds=seconds)


def run_well(words: Sequence[str | Path], inherited: Iterable[str], *, seconds: float, **more: str) -> str:
    """Run a command to a good end, in the checkout, with these of the shell's variables and more; its output."""
    done = subprocess.run(
        words,
        cwd=ROOT,
        env={**{name: os.environ[name] for name in inherited if name in os.environ}, **more},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}{done.stderr}"
    return done.stdout


def prepare(folder: Path, profiles: str) -> Path:
    """Run `compose/prepare PROFILES` in a folder of the caller's; the file with the variables it made."""
    shutil.copy(FOLDER / "prepare", folder)
    subprocess.run([folder / "prepare", profiles], check=True, stdin=subprocess.DEVNULL)
    return folder / ".env"
