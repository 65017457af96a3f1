"""An image without Docker: the steps of a Dockerfile, run in folders that hold a Debian with its Python.

What stands for the base image is made by .ci/install-servers; it is the same Debian and the same Python as the image's.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from docker.utils.build import exclude_paths

from penstock.drill.servers import Unavailable
from penstock.drill.servers.debian import find_debian
from support.dockerfile import Copy, From, Run, Say, Set, read

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a build needs of the machine it runs on, to get at the registries.
INHERITED = re.compile(r"(?i)(https?|no)_proxy|SSL_CERT_FILE|PIP_(CERT|INDEX_URL)|UV_(DEFAULT_INDEX|INDEX_URL)")
#: As in the official images of Python.
PATH = "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin"
#: Processes and mounts of their own, which end with the first of the processes; then a script.
UNSHARE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c")
#: $1 the root, $2 the folder to be in, then the environment and the command.
STEP = """
set -eu
root=$1 folder=$2
shift 2
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --bind /etc/ssl/certs "$root/etc/ssl/certs"
touch "$root/etc/resolv.conf"
mount --bind /etc/resolv.conf "$root/etc/resolv.conf"
exec chroot "$root" env -i -C "$folder" "$@"
"""


@dataclass(frozen=True, slots=True)
class Context:
    """A folder, and what Docker would be sent of it: the paths that its .dockerignore leaves, relative to it."""

    folder: Path
    paths: frozenset[str]

    def sends(self, path: Path) -> bool:
        """Whether a file or folder of it is sent."""
        return str(path.relative_to(self.folder)) in self.paths


@dataclass(slots=True)
class Image:
    """A root file system, and what an image says of its processes. A stage, while it is being built."""

    root: Path
    name: str
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    #: By instruction, in words: USER, WORKDIR, ENTRYPOINT, CMD, HEALTHCHECK.
    said: dict[str, tuple[str, ...]] = field(default_factory=lambda: {"WORKDIR": ("/",)})

    @property
    def folder(self) -> str:
        return self.said["WORKDIR"][0]

    def inside(self, path: str) -> Path:
        """A path of the image, as it is out here."""
        return self.root / Path(self.folder, path).relative_to("/")


def build(dockerfile: Path, context: Path, folder: Path) -> Image:
    """Run all steps; the stages become folders in `folder`, the last one's is the image. Raises Unavailable."""
    stages: list[Image] = []
    sent = _context(context)
    for instruction in read(dockerfile):
        if isinstance(instruction, From):
            root = folder / f"stage-{len(stages)}"
            subprocess.run(["cp", "--archive", "--reflink=auto", base(instruction.image), root], check=True)
            for name in ("python", "python3"):
                (root / "usr" / "local" / "bin" / name).symlink_to("/usr/bin/python3")
            stages.append(Image(root, instruction.name))
        else:
            _do(instruction, stages, sent)
    return stages[-1]


def base(image: str) -> Path:
    """What stands for an official image of Python here: the same Python on the same Debian. Raises Unavailable."""
    root = find_debian("PENSTOCK_TEST_PYTHON_ROOT", "python-3.13").root
    release = (root / "etc" / "os-release").read_text()
    python = (root / "usr" / "bin" / "python3").readlink().name
    codename = re.search(r"^VERSION_CODENAME=(\w+)$", release, re.MULTILINE)
    found = f"{python.replace('python', 'python:')}-slim-{codename[1] if codename else 'unknown'}"
    if found != image:
        raise Unavailable(f"{root} stands for {found}, the Dockerfile asks for {image}: change .ci/install-servers")
    return root


def _context(folder: Path) -> Context:
    lines = (folder / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    return Context(folder, frozenset(exclude_paths(str(folder), patterns)))


def _do(instruction: Run | Copy | Set | Say, stages: list[Image], context: Context) -> None:
    image = stages[-1]
    match instruction:
        case Run(command):
            _run(image, command)
        case Copy(sources, target, ""):
            for source in sources:
                _copy(context.folder / source, image, target, context)
        case Copy(sources, target, name):
            [stage] = [stage for stage in stages if stage.name == name]
            for source in sources:
                _copy(stage.inside(source), image, target, None)
        case Set(values, "ENV"):
            image.environment |= {key: Template(value).substitute(image.environment) for key, value in values.items()}
        case Set(_, _):
            pass  # a label changes nothing of what runs
        case Say(what, words):
            image.said[what] = words
            image.inside(".").mkdir(parents=True, exist_ok=True)


def _run(image: Image, command: str) -> None:
    assert "USER" not in image.said, f"RUN after USER is not known here: {command}"
    machine = {name: value for name, value in os.environ.items() if INHERITED.fullmatch(name)}
    words = [*pairs({**machine, **image.environment}), "sh", "-c", command]
    done = subprocess.run(
        [*UNSHARE, STEP, "sh", image.root, image.folder, *words],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"RUN {command}\n{done.stdout}{done.stderr}"


def pairs(environment: Mapping[str, str]) -> list[str]:
    """Variables as `env` takes them."""
    return [f"{name}={value}" for name, value in environment.items()]


def _copy(source: Path, image: Image, target: str, context: Context | None) -> None:
    """As COPY does: of a folder what is in it, and of the context only what was sent. Links stay links."""
    assert context is None or context.sends(source), f"COPY {source}: .dockerignore leaves it out"
    into = image.inside(target)
    if source.is_dir():

        def left_out(folder: str, names: list[str]) -> set[str]:
            return {name for name in names if context is not None and not context.sends(Path(folder, name))}

        shutil.copytree(source, into, symlinks=True, dirs_exist_ok=True, ignore=left_out)
        return
    goal = into / source.name if target.endswith("/") else into
    goal.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, goal)
