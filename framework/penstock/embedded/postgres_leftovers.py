"""What a killed PostgreSQL leaves behind that would keep the next one from starting."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import psutil

from penstock.errors import StackError

#: Seconds the orphans of a killed server get to end.
END_SECONDS = 10.0
#: Seconds between two looks at them.
ASK_INTERVAL = 0.02


def clear_leftovers(data: Path) -> None:
    """End the orphans of a killed server of this data folder, and remove its pid file where that misleads.

    Raises StackError where the server itself runs.
    """
    file = data / "postmaster.pid"
    pid = _pid_in(file)
    members = [process for process in psutil.process_iter() if _is_at_home(process, data)]
    if any(process.pid == pid for process in members):
        raise StackError(f"PostgreSQL runs in {data} already, as process {pid}: end it with kill -INT {pid}")
    for orphan in members:
        # One with a long query does not notice that its server is gone, and PostgreSQL starts beside none. This signal
        # ends it at once.
        _end(orphan)
    deadline = time.monotonic() + END_SECONDS
    while (left := [process for process in members if _is_at_home(process, data)]) and time.monotonic() < deadline:
        time.sleep(ASK_INTERVAL)
    if left:
        pids = " ".join(str(process.pid) for process in left)
        raise StackError(f"processes of a killed PostgreSQL still use {data}: end them with kill -9 {pids}")
    # PostgreSQL takes any process of its user's that has the pid of old for the server of old, as after a restart of
    # the machine, and a file without a pid for a server that is starting. It copes with all others itself.
    if pid is None or _is_another(pid):
        file.unlink(missing_ok=True)


def _pid_in(file: Path) -> int | None:
    """The server's pid, or None: a full disk leaves an empty file."""
    try:
        line = file.read_text().partition("\n")[0]
    except FileNotFoundError:
        return None
    return int(line) if line.isdecimal() else None


def _is_at_home(process: psutil.Process, data: Path) -> bool:
    """Whether it is a PostgreSQL of this data folder, in which all its processes have their working directory."""
    try:
        return process.name() == "postgres" and Path(process.cwd()).samefile(data)
    except (psutil.Error, OSError):
        return False  # gone, dead and not yet buried, or another user's


def _is_another(pid: int) -> bool:
    """Whether a process that lives now is known for something else than the server of old."""
    try:
        process = psutil.Process(pid)
        return process.name() != "postgres" or bool(process.cwd())
    except psutil.Error:
        return False


def _end(orphan: psutil.Process) -> None:
    try:
        orphan.send_signal(signal.SIGQUIT)
    except psutil.NoSuchProcess:
        return
