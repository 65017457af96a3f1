"""`penstock up`: several workers, each a process of its own."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

import structlog
import typer

from penstock.cli.names import Names
from penstock.cli.run import Drain
from penstock.discovery import load_worker
from penstock.errors import UsageError

if TYPE_CHECKING:
    from asyncio.subprocess import Process
    from collections.abc import Mapping, Sequence

    from penstock.cli.session import Session

log = structlog.get_logger(__name__)


def up(context: typer.Context, names: Names, drain: Drain = False) -> None:
    """Run several workers, each a process of its own; one Ctrl-C drains them all.

    When one fails, the others are drained and the exit code is 1. SIGHUP is passed on. A second
    Ctrl-C kills what is still draining: what it held goes back to the queue.

    \b
    Examples:
      penstock up discogs-table discogs-graph
      penstock up discogs-table discogs-graph --drain
    """
    session: Session = context.obj
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        another = f"penstock run {twice[0]} --port 0"
        raise UsageError(f"{twice[0]} is named twice: name each worker once; a second process of it is: {another}")
    ports: defaultdict[int, list[str]] = defaultdict(list)
    for name in names:
        worker, settings = load_worker(name), session.settings(name)
        ports[worker.port if settings.http.port is None else settings.http.port].append(name)
    for port, takers in ports.items():
        if port and len(takers) > 1:
            text = f"{' and '.join(takers)} would all serve HTTP on port {port}"
            raise UsageError(f"{text}: set http.port for each under workers: in the file, or PENSTOCK_HTTP__PORT=0")
    session.log_as_process(session.settings())
    options = ["--drain"] if drain else []
    commands = {name: [sys.executable, "-m", "penstock", "run", name, *options] for name in names}
    raise typer.Exit(asyncio.run(run_all(commands, session.environ())))


async def run_all(commands: Mapping[str, Sequence[str]], environ: Mapping[str, str]) -> int:
    """Run every command until all have ended; returns 0 if all did well, else 1.

    SIGINT and SIGTERM end them all by SIGTERM, as does the failure of one; a second one kills.
    """
    family = _Family()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, family.end)
    loop.add_signal_handler(signal.SIGHUP, family.send, signal.SIGHUP)
    try:
        codes = await asyncio.gather(*(family.live(name, command, environ) for name, command in commands.items()))
    finally:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.remove_signal_handler(number)
    return max(codes, default=0)


class _Family:
    """The child processes that are alive, by the name of their worker."""

    def __init__(self) -> None:
        self._alive: dict[str, Process] = {}
        self._ending = asyncio.Event()

    async def live(self, name: str, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Run one child to its end; returns 0 if it did well, else 1, and then ends the others."""
        if self._ending.is_set():
            return 0
        # In a session of its own, so that a Ctrl-C at the terminal reaches it through its parent only.
        child = await asyncio.create_subprocess_exec(*command, env=environ, start_new_session=True)
        self._alive[name] = child
        if self._ending.is_set():
            child.terminate()
        log.info("worker_process_started", worker=name, pid=child.pid)
        try:
            code = await child.wait()
        finally:
            del self._alive[name]
        # Ended before it could install its handler, it had nothing to drain.
        well = code == 0 or (self._ending.is_set() and code == -signal.SIGTERM)
        level = log.info if well else log.error
        level("worker_process_ended", worker=name, exit_code=code)
        if not well and not self._ending.is_set():
            self.end()
        return 0 if well else 1

    def end(self) -> None:
        """Drain all; called again, kill."""
        self.send(signal.SIGKILL if self._ending.is_set() else signal.SIGTERM)
        self._ending.set()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to all that are alive."""
        for child in self._alive.values():
            child.send_signal(number)
