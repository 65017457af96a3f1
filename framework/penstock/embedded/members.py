"""The processes of a stack, known by files that outlive the command that started them."""

from __future__ import annotations

import asyncio
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, ValidationError

from penstock.embedded.part import environment
from penstock.errors import StackError

if TYPE_CHECKING:
    import signal
    from pathlib import Path

    from penstock.embedded.part import Command

#: Seconds a member gets to end by itself: more than a worker's drain limit.
STOP_SECONDS = 40.0
#: Seconds between two looks whether it has ended.
LOOK_INTERVAL = 0.02
#: How much of a log's end is looked at for its last line, in bytes.
_TAIL = 4096


class _Identity(BaseModel):
    """A process that no later one is taken for: its pid, and when it was started, in seconds since 1970."""

    pid: int
    started: float


class Member:
    """One process of the stack: `NAME.pid` tells who it is, `NAME.log` what it said since its start."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self._file = folder / f"{name}.pid"
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id while it runs."""
        process = self._process()
        return process.pid if process else None

    @property
    def died(self) -> bool:
        """Whether it ended without having been stopped."""
        return self._file.exists() and self._process() is None

    def spawn(self, command: Command, folder: Path) -> None:
        """Start the program in `folder`, in a session of its own, so that it outlives this process and its terminal."""
        if self.log.exists():
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("wb") as log:
            child = subprocess.Popen(
                command.words,
                cwd=folder,
                env=environment(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._child = child
        self.adopt(child.pid)

    def adopt(self, pid: int) -> None:
        """Take a running process for this member."""
        with suppress(psutil.NoSuchProcess):  # it ended at once: its log says why
            started = psutil.Process(pid).create_time()
            self._file.write_text(_Identity(pid=pid, started=started).model_dump_json())

    async def stop(self, number: signal.Signals) -> None:
        """Ask it to end and wait until it has; kill it after STOP_SECONDS. Does nothing where it does not run."""
        process = self._process()
        if process is not None:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._end()
            except TimeoutError:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
                await self._end()
        self._file.unlink(missing_ok=True)

    async def _end(self) -> None:
        # Not psutil's own waiting: a dead orphan stays listed until process 1 looks at it, which can take seconds.
        while self._process() is not None:  # noqa: ASYNC110 - another process tells no event of ours
            await asyncio.sleep(LOOK_INTERVAL)

    def last_line(self) -> str:
        """The last line it logged that says something, or nothing."""
        try:
            text = self.log.read_bytes()[-_TAIL:].decode(errors="replace")
        except FileNotFoundError:
            return ""
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        return lines[-1] if lines else ""

    def _process(self) -> psutil.Process | None:
        """The process, unless it ended; a pid that another program has by now is not it."""
        if self._child is not None:
            self._child.poll()  # a dead child stays listed until somebody asks
        try:
            identity = _Identity.model_validate_json(self._file.read_bytes())
            process = psutil.Process(identity.pid)
            same = process.create_time() == identity.started
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        except ValidationError as error:
            text = f"{self._file} is damaged: see with ps whether {self.name} runs, end it, and remove the file"
            raise StackError(text) from error


def members_in(folder: Path) -> list[Member]:
    """Return every member that was started or adopted here and not stopped, running or not, sorted by name."""
    return [Member(file.stem, folder) for file in sorted(folder.glob("*.pid"))]
