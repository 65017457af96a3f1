"""`docker` and `kubectl` for a shell in which neither an engine nor a cluster is to be touched.

What would be brought up or applied is rendered and validated; every other command answers nothing. All are noted.
As a program (`python -m support.stand_ins docker compose up`), it is what these commands do.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from support.checkout import ROOT
from support.compose import find_compose
from support.validators import find_kubeconform, find_kustomize

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Environment variables: the file that calls go to, the command that renders, and the one that validates.
CALLS, RENDERER, VALIDATOR = "STAND_IN_CALLS", "STAND_IN_RENDERER", "STAND_IN_VALIDATOR"
#: Options of `docker compose` that come before its command and take a value.
VALUED = {
    "-f",
    "--file",
    "-p",
    "--project-name",
    "--profile",
    "--project-directory",
    "--env-file",
    "--ansi",
    "--progress",
}


def stand_in(name: str, folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of a shell with a stand-in for `docker` or `kubectl`.

    It is made in `folder`, a new one, where the file `calls` gets a line a call. Raises Unavailable if what renders or
    validates is not installed.
    """
    # Found now: in that shell `docker` is the stand-in, and the home may be another.
    if name == "docker":
        commands = {RENDERER: find_compose()}
    else:
        commands = {RENDERER: find_kustomize(), VALIDATOR: find_kubeconform()}
    folder.mkdir()
    program = folder / name
    run = shlex.join([f"PYTHONPATH={ROOT / 'tests'}", sys.executable, "-P", "-m", "support.stand_ins", name])
    program.write_text(f'#!/bin/sh\nexec env {run} "$@"\n')
    program.chmod(0o755)
    return {
        **environment,
        "PATH": f"{folder}:{environment['PATH']}",
        CALLS: str(folder / "calls"),
        **{variable: shlex.join(command) for variable, command in commands.items()},
    }


def docker(words: Sequence[str]) -> int:
    """`docker compose OPTIONS up …` and all its other commands: `config` with the same options."""
    if words[:1] != ["compose"]:
        return 0
    options: list[str] = []
    rest = list(words[1:])
    while rest and rest[0].startswith("-"):
        options.append(rest.pop(0))
        if options[-1] in VALUED:
            options.append(rest.pop(0))
    return subprocess.run([*shlex.split(os.environ[RENDERER]), *options, "config", "--quiet"], check=False).returncode


def kubectl(words: Sequence[str]) -> int:
    """`kubectl apply -f FILE`, `-f -` and `-k FOLDER`: kubeconform, which knows no field that the schemas do not."""
    match words:
        case ["apply", *options] if "-k" in options:
            folder = options[options.index("-k") + 1]
            rendered = subprocess.run([*shlex.split(os.environ[RENDERER]), folder], stdout=subprocess.PIPE, check=True)
            return _validate(rendered.stdout)
        case ["apply", *options] if "-f" in options:
            file = options[options.index("-f") + 1]
            return _validate(sys.stdin.buffer.read() if file == "-" else Path(file).read_bytes())
        case _:
            return 0


def _validate(manifests: bytes) -> int:
    if not manifests.strip():
        sys.stderr.write("kubectl: there is nothing to apply\n")
        return 1
    return subprocess.run(shlex.split(os.environ[VALIDATOR]), input=manifests, check=False).returncode


def main() -> int:
    """Do what the command named first would; the exit code."""
    name, *words = sys.argv[1:]
    with Path(os.environ[CALLS]).open("a") as calls:
        calls.write(f"{shlex.join([name, *words])}\n")
    return docker(words) if name == "docker" else kubectl(words)


if __name__ == "__main__":
    sys.exit(main())
