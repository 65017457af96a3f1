"""The processes of a stack, known by files that outlive the command that started them."""

from __future__ import annotations

import asyncio
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from pydantic import BaseModel, ValidationError

from penstock.embedded.part import environment
from penstock.errors import StackError

if TYPE_CHECKING:
    from penstock.embedded.part import Command

#: Seconds a member gets to end by itself: more than a worker's drain limit.
STOP_SECONDS = 40.0
#: Seconds between two looks whether it has ended.
LOOK_INTERVAL = 0.02
#: How much of a log's end is looked at for its last line, in bytes.
_TAIL = 4096


class _Identity(BaseModel):
    """A process that no later one is taken for: its pid, and when it was started, as `_start_of` tells it."""

    pid: int
    started: str


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
        try:
            self.adopt(child.pid)
        except BaseException:
            # Nobody would ever find it.
            child.kill()
            child.wait()
            raise

    def adopt(self, pid: int) -> None:
        """Take a running process for this member."""
        with suppress(psutil.NoSuchProcess):  # it ended at once: its log says why
            identity = _Identity(pid=pid, started=_start_of(psutil.Process(pid)))
            new = self._file.with_suffix(".new")
            new.write_text(identity.model_dump_json())
            new.replace(self._file)

    async def stop(self, number: signal.Signals) -> bool:
        """Ask it to end and wait until it has; kill it after STOP_SECONDS. Return whether it ran.

        Raises StackError where it belongs to another user or its file is damaged.
        """
        process = self._process()
        if process is not None:
            self._send(process, number)
            try:
                async with asyncio.timeout(STOP_SECONDS):
                    await self._end()
            except TimeoutError:
                self._send(process, signal.SIGKILL)
                await self._end()
        if self._child is not None:
            self._child.poll()  # it may have died after the last look had asked
        self._file.unlink(missing_ok=True)
        return process is not None

    def _send(self, process: psutil.Process, number: signal.Signals) -> None:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            return
        except psutil.AccessDenied as error:
            text = f"the {self.name} (process {process.pid}) belongs to another user: end it as that user"
            raise StackError(text) from error

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
            same = _start_of(process) == identity.started
            return process if same and process.status() != psutil.STATUS_ZOMBIE else None
        except (FileNotFoundError, psutil.NoSuchProcess):
            return None
        except ValidationError as error:
            text = f"{self._file} is damaged: see with ps whether {self.name} runs, end it, and remove the file"
            raise StackError(text) from error


def _start_of(process: psutil.Process) -> str:
    """Say when a process was started, in words that stay the same while it runs.

    psutil's own time moves with the system's clock on Linux, which counts from the machine's start.
    """
    status, boot = Path(f"/proc/{process.pid}/stat"), Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return str(process.create_time())
    try:
        # The program's name, in brackets, may hold anything; field 22 is the start, in clock ticks (proc(5)).
        ticks = status.read_text().rpartition(")")[2].split()[19]
    except (FileNotFoundError, ProcessLookupError):
        raise psutil.NoSuchProcess(process.pid) from None
    return f"{boot.read_text().strip()}/{ticks}"


def members_in(folder: Path) -> list[Member]:
    """Return every member that was started or adopted here and not stopped, running or not, sorted by name."""
    return [Member(file.stem, folder) for file in sorted(folder.glob("*.pid"))]
