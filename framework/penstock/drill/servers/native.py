"""A server installed on this machine, run as processes of ours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

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

    def close(self) -> None:
        for daemon in (self.daemon, *self.helpers):
            daemon.kill()
        self.folder.remove()
