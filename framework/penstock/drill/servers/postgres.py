"""PostgreSQL, installed here."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from pathlib import Path

from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon, as_user, give
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import NativeServer
from penstock.drill.servers.server import Unavailable
from penstock.embedded.ports import free_ports

USER = "postgres"
PASSWORD = "penstock-test"
#: No killed process loses what the kernel has: only a machine that dies would show the lack of fsync.
CONFIGURATION = """
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = 64MB
max_connections = 200
wal_level = logical
fsync = off
full_page_writes = off
logging_collector = off
"""


def native_postgres() -> NativeServer:
    """A server of its own: data, port and processes. Raises Unavailable."""
    programs = find_programs()
    folder = Folder("postgres")
    home = folder.path / "server"
    give(home, USER)
    # Nothing of this shell's PG* variables may reach it.
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(home)}
    [port] = free_ports(1)
    _initialise(programs, home, environment)
    with (home / "data" / "postgresql.conf").open("a") as configuration:
        configuration.write(f"{CONFIGURATION}port = {port}\n")
    command = [str(programs / "postgres"), "-D", str(home / "data")]
    return NativeServer(
        address=Address(f"postgresql://{USER}:{PASSWORD}@127.0.0.1:{port}/postgres"),
        daemon=Daemon(command, folder=home, log=folder.path / "log", environment=environment, user=USER),
        answers=answers,
        # SIGINT is PostgreSQL's fast shutdown: SIGTERM would wait for every client to leave.
        stop_signal=signal.SIGINT,
        folder=folder,
    )


def find_programs() -> Path:
    """The folder of the newest PostgreSQL's programs. Raises Unavailable."""
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if versions:
        return max(versions, key=lambda path: int(re.sub(r"\D", "", path.parent.name)))
    found = shutil.which("initdb")
    if found is None:
        raise Unavailable("PostgreSQL is not installed: run `make servers`, or apt-get install postgresql")
    return Path(found).resolve().parent


def answers(address: Address) -> bool:
    """Whether it asks for a login: before and after its time it answers with an error, or not at all."""
    words = b"".join(word.encode() + b"\0" for word in ("user", address.username, "database", "postgres", ""))
    # The length counts itself; 3.0 is the protocol's version.
    message = struct.pack("!ihh", len(words) + 8, 3, 0) + words
    try:
        with socket.create_connection((address.host, address.port), 2) as connection:
            connection.sendall(message)
            return connection.recv(1) == b"R"
    except OSError:
        return False


def _initialise(programs: Path, home: Path, environment: dict[str, str]) -> None:
    password = home / "password"
    password.write_text(PASSWORD)
    command = [programs / "initdb", "-D", home / "data", "-U", USER, f"--pwfile={password}"]
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
    subprocess.run(
        [*as_user(USER), *map(str, command), *options],
        cwd=home,
        env=environment,
        check=True,
        capture_output=True,
    )
