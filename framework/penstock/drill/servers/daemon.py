"""A server process of ours: started, signalled and ended by its own process id."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from penstock.drill.servers.server import Unavailable
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Linux kills the children when the *thread* that started them ends: this one lasts as long as the process.
_STARTER = ThreadPoolExecutor(1, thread_name_prefix="servers")
#: What the log's end has to say about a failed start, in characters.
LOG_TAIL = 1500


class Daemon:
    """One program that stays in the foreground; its output goes to a log. It dies with the test session."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        folder: Path,
        log: Path,
        environment: Mapping[str, str],
        user: str | None = None,
    ) -> None:
        self.command = [*as_user(user), *command]
        self.folder = folder
        self.log = log
        self.environment = dict(environment)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """Of the program itself, once it was started."""
        assert self._process is not None, f"{self.command[0]} was not started"
        return self._process.pid

    def spawn(self) -> None:
        """Start the program; it need not be ready yet."""
        self._process = _STARTER.submit(self._spawn).result()

    def stop(self, number: signal.Signals, seconds: float = 60) -> None:
        """Ask it to end and wait until it and its children have. Raises TimeoutError."""
        if self._process is None:
            return
        self.thaw()
        children = descendants(self._process.pid)
        self._process.send_signal(number)
        self._process.wait(seconds)
        self._reap(children)

    def kill(self) -> None:
        """End it and its children at once."""
        if self._process is None:
            return
        if not self.running:
            self._process = None
            return
        # Once it stands still it can start no child that the list would miss.
        self._process.send_signal(signal.SIGSTOP)
        children = descendants(self._process.pid)
        self._process.kill()
        _signal_all(children, signal.SIGKILL)
        self._process.wait()
        self._reap(children)

    def freeze(self) -> None:
        """Stop it and its children in their tracks."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)
            _signal_all(descendants(self._process.pid), signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self._process is not None:
            _signal_all(descendants(self._process.pid), signal.SIGCONT)
            self._process.send_signal(signal.SIGCONT)

    def tail(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-LOG_TAIL:] if self.log.exists() else ""

    def _spawn(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command,
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # A Ctrl-C is for pytest; the fixtures end the servers.
                start_new_session=True,
            )

    def _reap(self, children: Sequence[int]) -> None:
        self._process = None
        # Ports and memory are held until the last of them is gone.
        wait_until(lambda: not any(map(lives, children)), 30, f"the end of the children of {self.command[0]}")


def begin(
    command: Sequence[str], environment: Mapping[str, str], output: IO[Any], errors: IO[Any] | None = None
) -> subprocess.Popen[bytes]:
    """Start a program that dies with this process, whichever thread asks. Without `errors` they go to `output` too."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [*as_user(None), *command],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT if errors is None else errors,
        )

    return _STARTER.submit(start).result()


def as_user(user: str | None) -> list[str]:
    """What to put before a command so that it runs as `user` (where root asks) and dies with this process."""
    if sys.platform != "linux":
        return []
    if shutil.which("setpriv") is None:
        message = "setpriv is missing: install util-linux"
        raise Unavailable(message)
    switch = [f"--reuid={user}", f"--regid={user}", "--init-groups"] if user and os.geteuid() == 0 else []
    return ["setpriv", *switch, "--pdeathsig=KILL", "--"]


def give(path: Path, user: str | int, group: str | int | None = None) -> None:
    """Give a file or folder (made where it is missing) to the user the server runs as, where root asks.

    Names or numbers; the group has the user's name if it is not told.
    """
    if not path.exists():
        path.mkdir(parents=True)
    if os.geteuid() == 0:
        try:
            shutil.chown(path, user, user if group is None else group)
        except LookupError:
            message = f"there is no user {user} on this machine: the server's package makes it"
            raise Unavailable(message) from None


def descendants(pid: int) -> list[int]:
    """The children of a process and theirs, as Linux knows them."""
    found = [pid]
    children: dict[int, list[int]] = {}
    for process in Path("/proc").glob("[0-9]*"):
        status = _status(int(process.name))
        if status is not None:
            children.setdefault(status[1], []).append(int(process.name))
    for parent in found:
        found.extend(children.get(parent, []))
    return found[1:]


def _status(pid: int) -> tuple[str, int] | None:
    """State letter and parent of a process; None where there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # The program's name, in brackets, may hold anything.
    state, parent = text.rpartition(")")[2].split()[:2]
    return state, int(parent)


def lives(pid: int) -> bool:
    """Whether there is such a process, and it runs."""
    status = _status(pid)
    # A dead orphan stays listed until process 1 looks at it, which can take seconds.
    return status is not None and status[0] not in "ZX"


def _signal_all(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        if lives(pid):
            os.kill(pid, number)
