"""A streaming standby of a PostgreSQL that is installed here, and its promotion."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon, as_user, give
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import READY, NativeServer
from penstock.drill.servers.postgres import USER, answers, find_programs
from penstock.drill.servers.server import Unavailable
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from penstock.drill.servers.server import Server

#: By this name the primary knows the standby it waits for.
NAME = "penstock_standby"


def native_standby(primary: Server) -> NativeServer:
    """A standby, not yet started, of a running server that `native_postgres` made. Raises Unavailable.

    The primary waits for it at every commit from now on; `forget_standby` ends that.
    """
    programs = find_programs()
    if not isinstance(primary, NativeServer) or str(programs / "postgres") not in primary.daemon.command:
        raise Unavailable("a standby needs a primary that is installed here, not one in Docker or in a wheel")
    folder = Folder("postgres-standby")
    home = folder.path / "server"
    give(home, USER)
    data = home / "data"
    place = primary.address
    connection = f"host={place.host} port={place.port} user={place.username} application_name={NAME}"
    options = ["-d", connection, "--write-recovery-conf", "--wal-method=stream", "--checkpoint=fast", "--no-sync"]
    _run([programs / "pg_basebackup", "-D", data, *options], place, home)
    [port] = free_ports(1)
    with (data / "postgresql.conf").open("a") as configuration:
        configuration.write(f"port = {port}\n")
    # Only after the copy, or the standby would wait for itself once it is promoted.
    _ask(primary, f"ALTER SYSTEM SET synchronous_standby_names = '{NAME}'", "SELECT pg_reload_conf()")
    netloc = f"{urlsplit(primary.url).netloc.rpartition(':')[0]}:{port}"
    return NativeServer(
        address=Address(urlunsplit(urlsplit(primary.url)._replace(netloc=netloc))),
        daemon=Daemon(
            [str(programs / "postgres"), "-D", str(data)],
            folder=home,
            log=folder.path / "log",
            environment=_environment(home),
            user=USER,
        ),
        answers=answers,
        stop_signal=signal.SIGINT,
        folder=folder,
    )


def await_standby(primary: Server) -> None:
    """Wait until the primary streams to its started standby, and waits for it."""
    question = "SELECT application_name FROM pg_stat_replication WHERE sync_state = 'sync'"
    wait_until(lambda: _ask(primary, question) == [NAME], READY, "the standby follows its primary")


def promote(standby: NativeServer) -> None:
    """Make the standby a primary, as whoever runs the database does when the old one is gone."""
    home = standby.daemon.folder
    _run([find_programs() / "pg_ctl", "promote", "-w", "-t", str(READY), "-D", home / "data"], standby.address, home)


def forget_standby(primary: Server) -> None:
    """Have the (running) primary wait for no standby any more."""
    _ask(primary, "ALTER SYSTEM RESET synchronous_standby_names", "SELECT pg_reload_conf()")


def _ask(server: Server, *statements: str) -> Sequence[str]:
    """Run statements of ours, each in a transaction of its own, and return the first column of the last's rows."""
    commands = [word for statement in statements for word in ("-c", statement)]
    place = server.address
    where = ["-h", place.host, "-p", str(place.port), "-U", place.username, "-d", place.database]
    return _run([find_programs() / "psql", "-X", "-q", "-A", "-t", *where, *commands], place, None).splitlines()


def _run(command: Sequence[str | Path], place: Address, home: Path | None) -> str:
    """Run one of PostgreSQL's own programs as its user, logged in at `place`; return what it prints."""
    environment = {**_environment(home), "PGPASSWORD": place.password}
    words = [*as_user(USER), *map(str, command)]
    ended = subprocess.run(words, cwd=home or "/", env=environment, check=False, capture_output=True, text=True)
    if ended.returncode:
        message = f"{command[0]} failed: {ended.stderr.strip()}"
        raise RuntimeError(message)
    return ended.stdout


def _environment(home: Path | None) -> dict[str, str]:
    """What a program of PostgreSQL is to see: nothing of this shell's PG* variables."""
    return {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(home or "/")}
