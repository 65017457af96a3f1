"""PgBouncer in transaction mode before a PostgreSQL, installed here."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon, give
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import NativeServer
from penstock.drill.servers.postgres import answers
from penstock.drill.servers.server import Unavailable
from penstock.embedded.ports import free_ports

PROGRAM = Path("/usr/sbin/pgbouncer")
#: PgBouncer refuses to run as root. Its package depends on the one that makes this user.
USER = "postgres"
#: As few connections to the server as show that its clients share them.
SERVER_CONNECTIONS = 2
CONFIGURATION = """
[databases]
* = host={host} port={server_port} user={user} password='{password}'
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = transaction
default_pool_size = {connections}
{more}
"""
#: From this version on PgBouncer can keep clients' prepared statements; the tests are of one that does not.
KEEPS_STATEMENTS = (1, 21)


def native_pgbouncer(postgres: Address) -> NativeServer:
    """A PgBouncer of its own before that server: any of its databases, under the same login. Raises Unavailable."""
    if not PROGRAM.exists():
        raise Unavailable("PgBouncer is not installed: run `make servers`, or apt-get install pgbouncer")
    folder = Folder("pgbouncer")
    home = folder.path / "server"
    give(home, USER)
    [port] = free_ports(1)
    users = home / "users.txt"
    users.write_text(f'"{postgres.username}" ""\n')
    configuration = home / "pgbouncer.ini"
    configuration.write_text(
        CONFIGURATION.format(
            host=postgres.host,
            server_port=postgres.port,
            user=postgres.username,
            password=postgres.password.replace("'", "''"),
            port=port,
            users=users,
            connections=SERVER_CONNECTIONS,
            more="max_prepared_statements = 0" if _version() >= KEEPS_STATEMENTS else "",
        )
    )
    for path in (users, configuration):
        give(path, USER)
    login = urlsplit(postgres.url).netloc.rpartition("@")[0]
    url = urlunsplit(urlsplit(postgres.url)._replace(netloc=f"{login}@127.0.0.1:{port}"))
    command = [str(PROGRAM), str(configuration)]
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(home)}
    return NativeServer(
        address=Address(url),
        daemon=Daemon(command, folder=home, log=folder.path / "log", environment=environment, user=USER),
        answers=answers,
        # Transactions under way are finished. What SIGTERM does differs by version.
        stop_signal=signal.SIGINT,
        folder=folder,
    )


def _version() -> tuple[int, ...]:
    told = subprocess.run([str(PROGRAM), "--version"], check=True, capture_output=True, text=True).stdout
    found = re.search(r"PgBouncer (\d+)\.(\d+)", told)
    if found is None:
        raise Unavailable(f"{PROGRAM} does not tell its version, but: {told.strip()}")
    return tuple(map(int, found.groups()))
