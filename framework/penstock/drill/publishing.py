"""The publisher of a drill: penstock.drill.publish as a process, killed and started again as the drill likes."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from penstock.drill.servers.daemon import begin
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from pathlib import Path


class Publishing:
    """What one or more lives of the publisher have published; their outbox is one file."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self._environment = {**environment, "PENSTOCK_OUTBOX__PATH": str(folder / "outbox.sqlite")}
        self._folder = folder
        self._lives: list[subprocess.Popen[bytes]] = []

    def start(self, numbers: range, seconds: float = 0) -> None:
        """Publish these numbers, evenly spread over so many seconds; 0: as fast as they go."""
        words = [numbers.start, numbers.stop, seconds]
        command = [sys.executable, "-m", "penstock.drill.publish", *map(str, words)]
        with self._output(len(self._lives)).open("wb") as output, self._log.open("ab") as log:
            self._lives.append(begin(command, self._environment, output, log))

    def safe(self) -> list[int]:
        """The numbers whose publish has returned, in any life: the publisher was told that they are safe."""
        text = "".join(self._output(life).read_text() for life in range(len(self._lives)))
        # A line that a kill has cut short is one that nobody was told.
        return [int(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def wait_safe(self, count: int, seconds: float = 120) -> None:
        """Wait until so many are safe."""
        wait_until(lambda: len(self.safe()) >= count or self._failed(), seconds, f"{count} publishes\n{self.log()}")
        assert len(self.safe()) >= count, f"the publisher ended\n{self.log()}"

    def wait(self, seconds: float = 300) -> None:
        """Wait until the broker has all that the present life was to publish."""
        code = self._lives[-1].wait(seconds)
        assert code == 0, f"the publisher ended with {code}\n{self.log()}"

    def kill(self) -> None:
        """kill -9 of the present life."""
        if self._lives:
            self._lives[-1].kill()
            self._lives[-1].wait(10)

    def log(self) -> str:
        """What all lives wrote to standard error."""
        return self._log.read_text() if self._log.exists() else ""

    @property
    def _log(self) -> Path:
        return self._folder / "publisher.log"

    def _output(self, life: int) -> Path:
        return self._folder / f"publisher-{life}.out"

    def _failed(self) -> bool:
        return self._lives[-1].poll() is not None
