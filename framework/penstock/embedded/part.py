"""What the stack asks of its parts: how to prepare, start, reach and stop one server."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path
    from signal import Signals

#: What a server gets of its starter's environment: no PG*, JAVA_* or PYTHON* of the user's may reach it.
_INHERITED = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_DATA_HOME")


@dataclass(frozen=True, slots=True)
class Place:
    """Where one server lives: `folder` is its own and exists; it listens on `port` of 127.0.0.1 only."""

    folder: Path
    port: int
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Command:
    """A program that stays in the foreground and runs in the server's folder. No password is among its words."""

    words: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


class Part(Protocol):
    """One server of the stack. It keeps nothing itself: all there is to know is in its Place."""

    @property
    def name(self) -> str:
        """What users call it: `broker`, `postgres`, `graph`."""

    @property
    def username(self) -> str:
        """Who logs in; the password is made by the stack."""

    @property
    def variable(self) -> str:
        """The setting that points Penstock at it, as RABBITMQ_URL."""

    @property
    def stop_signal(self) -> Signals:
        """What ends it cleanly and soon, clients or not."""

    def url(self, place: Place) -> str:
        """The value of `variable`, password included."""

    def prepare(self, place: Place) -> None:
        """Make what is missing in the folder, the first time or after a kill; blocks, seconds. Raises StackError."""

    def command(self, place: Place) -> Command:
        """How to start it. Raises UsageError where its package is not installed."""

    async def ping(self, place: Place) -> None:
        """Return if it serves: logs in and asks something. Raises whatever its client raises while it does not."""


def environment(command: Command) -> dict[str, str]:
    """Return the whole environment of a server: the command's own variables over the few it inherits."""
    return {**{name: os.environ[name] for name in _INHERITED if name in os.environ}, **command.environment}
