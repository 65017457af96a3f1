"""What one call of the command line knows: its global options, the settings they lead to, the secrets met."""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from penstock.log import configure, redactor
from penstock.settings import Settings, load
from penstock.settings_shown import secrets

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Session:
    """The global options. `overrides` are variables that the command line sets over the environment."""

    config: Path | None = None
    overrides: dict[str, str] = field(default_factory=dict)
    known_secrets: frozenset[str] = frozenset()

    def environ(self) -> dict[str, str]:
        """Return the environment with all options in it: what a child process is given."""
        config = {"PENSTOCK_CONFIG": str(self.config)} if self.config else {}
        return {**os.environ, **config, **self.overrides}

    def settings(self, worker: str | None = None) -> Settings:
        """Read the settings anew. Raises SettingsError."""
        settings = load(worker, None, self.environ())
        # Those of before may still be in a connection's URL, and so in its errors.
        self.known_secrets |= secrets(settings)
        return settings

    def log_as_process(self, settings: Settings) -> None:
        """Log to standard output as set: for a process that runs on."""
        configure(settings.log, self.known_secrets)

    def log_as_command(self, settings: Settings) -> None:
        """Log warnings to standard error, as text, unless set otherwise: for a command whose output is its result."""
        usual = {"level": "warning", "format": "console"}
        asked = settings.log.model_dump(exclude_unset=True)
        # What a library has to say of an error, the error's own line says again.
        libraries = logging.WARNING if "level" in asked else logging.CRITICAL
        configure(settings.log.model_copy(update=usual | asked), self.known_secrets, sys.stderr, libraries=libraries)

    def redact(self, text: str) -> str:
        """Return `text` without any secret met so far."""
        return redactor(self.known_secrets)(text)

    @property
    def debug(self) -> bool:
        """Whether somebody asked for every detail."""
        environ = self.environ()
        return environ.get("PENSTOCK_LOG__LEVEL", environ.get("LOG_LEVEL", "")).lower() == "debug"
