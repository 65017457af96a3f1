"""A Dockerfile, read: the instructions that compose/Dockerfile uses. Any other is an error: none is passed over."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class From:
    """A stage begins, with a name or without."""

    image: str
    name: str


@dataclass(frozen=True, slots=True)
class Run:
    """A line for `sh -c`."""

    command: str


@dataclass(frozen=True, slots=True)
class Copy:
    """Paths of the context, or of the stage `stage`, to be copied to `target`."""

    sources: tuple[str, ...]
    target: str
    stage: str


@dataclass(frozen=True, slots=True)
class Set:
    """Variables (ENV), whose values may name others; or labels (LABEL), whose values are as they are."""

    values: dict[str, str]
    what: str


@dataclass(frozen=True, slots=True)
class Say:
    """What an image says of its processes in one word or list: USER, WORKDIR, ENTRYPOINT, CMD, HEALTHCHECK."""

    what: str
    words: tuple[str, ...]


#: How RUN and COPY begin in the forms that are not known here.
OTHER_FORM = ("[", "--", "<<")

Instruction = From | Run | Copy | Set | Say


def read(path: Path) -> list[Instruction]:
    """The instructions of a file, in order. Raises ValueError for one that is not known here, or is in another form."""
    text = "".join(line for line in path.read_text().splitlines(keepends=True) if not line.lstrip().startswith("#"))
    lines = (line.strip() for line in re.sub(r"\\\n", " ", text).splitlines())
    return [_instruction(*line.split(maxsplit=1)) for line in lines if line]


def _instruction(name: str, rest: str) -> Instruction:
    found: Instruction
    match name, rest.split():
        case "FROM", [image]:
            found = From(image, "")
        case "FROM", [image, "AS", stage]:
            found = From(image, stage)
        case "RUN", [first, *_] if not first.startswith(OTHER_FORM):
            found = Run(rest)
        case "COPY", [first, *sources, target] if first.startswith("--from="):
            found = Copy(tuple(sources), target, first.removeprefix("--from="))
        case "COPY", [*sources, target] if sources and not sources[0].startswith(OTHER_FORM):
            found = Copy(tuple(sources), target, "")
        case "ENV" | "LABEL", _:
            found = Set(dict(pair.split("=", 1) for pair in shlex.split(rest)), name)
        case "USER" | "WORKDIR", [word]:
            found = Say(name, (word,))
        case "ENTRYPOINT" | "CMD", [first, *_] if first.startswith("["):
            found = Say(name, tuple(json.loads(rest)))
        case "HEALTHCHECK", _ if re.match(r"(--\S+ )*CMD \[", rest):
            # Its options are Docker's own business.
            found = Say(name, tuple(json.loads(rest.partition("CMD ")[2])))
        case _:
            raise ValueError(f"{name} {rest}: tests/support/dockerfile.py does not know this instruction in this form")
    return found
