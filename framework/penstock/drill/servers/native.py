"""A server installed on this machine, run as processes of ours."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from penstock.drill.servers.server import Unavailable
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from signal import Signals

    from penstock.drill.servers.address import Address
    from penstock.drill.servers.daemon import Daemon
    from penstock.drill.servers.folder import Folder

#: Seconds a server may take to answer after its start, on a machine busy with other things.
READY = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class NativeServer:
    """One server: `daemon` is started, signalled and ended; `helpers` start before it and stay until close."""

    address: Address
    daemon: Daemon
    answers: Callable[[Address], bool]
    stop_signal: Signals
    folder: Folder
    helpers: Sequence[Daemon] = ()
    #: What runs the server's administration tool, before the tool's own words.
    tool: Sequence[str] = ()

    @property
    def url(self) -> str:
        return self.address.url

    def start(self) -> None:
        if self.daemon.running:
            return
        for helper in self.helpers:
            if not helper.running:
                helper.spawn()
        self.daemon.spawn()
        what = f"{self.folder.name} answers"
        wait_until(lambda: not self.daemon.running or self.answers(self.address), READY, what)
        if not self.daemon.running:
            message = f"{self.folder.name} ended while starting: {self.daemon.tail()}"
            raise RuntimeError(message)

    def stop(self) -> None:
        self.daemon.stop(self.stop_signal)

    def kill(self) -> None:
        self.daemon.kill()

    def freeze(self) -> None:
        self.daemon.freeze()

    def thaw(self) -> None:
        self.daemon.thaw()

    def control(self, *words: str) -> str:
        if not self.tool:
            raise Unavailable(f"{self.folder.name} has no administration tool")
        done = subprocess.run(
            [*self.tool, *words],
            cwd=self.daemon.folder,
            env=self.daemon.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=READY,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{words} ended with {done.returncode}: {done.stdout}{done.stderr}")
        return done.stdout

    def close(self) -> None:
        for daemon in (self.daemon, *self.helpers):
            daemon.kill()
        self.folder.remove()
