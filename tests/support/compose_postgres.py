"""PostgreSQL with its standby and PgBouncer, set up here by the very files that compose.yaml mounts."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.drill.servers import Address
from penstock.drill.servers.daemon import Daemon, as_user, give
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import NativeServer
from penstock.drill.servers.pgbouncer import PROGRAM
from penstock.drill.servers.postgres import USER, answers, find_programs
from penstock.embedded.ports import free_ports
from support import compose

if TYPE_CHECKING:
    from penstock.drill.servers import Server

#: Where the files look for secrets.
MOUNTED = "/run/secrets"


@dataclass(frozen=True, slots=True)
class Files:
    """A folder that the servers' user can read: secrets as `prepare` makes them, and the files that name them."""

    folder: Folder
    secrets: Path

    def text(self, name: str) -> str:
        """One of compose's files, with the secrets where they are here."""
        return (compose.FOLDER / name).read_text().replace(MOUNTED, str(self.secrets))

    def put(self, name: str, text: str) -> Path:
        """A file for the servers' user."""
        path = self.folder.path / name
        path.write_text(text)
        give(path, USER)
        return path

    def secret(self, name: str) -> str:
        return (self.secrets / name).read_text().strip()


def files() -> Files:
    """New secrets. The caller removes the folder."""
    folder = Folder("compose")
    compose.prepare(folder.path, "core,failover")
    secrets = folder.path / ".secrets"
    # In a container each is mounted by itself.
    secrets.chmod(0o755)
    return Files(folder, secrets)


def make_roles(primary: Server, made: Files) -> None:
    """Run roles.sql, as the image of PostgreSQL does while it makes the data folder."""
    place = primary.address
    psql = [
        str(find_programs() / "psql"),
        "--no-psqlrc",
        "--set=ON_ERROR_STOP=1",
        f"--file={made.put('roles', made.text('postgres/roles.sql'))}",
    ]
    subprocess.run(
        [*psql, f"--host={place.host}", f"--port={place.port}", f"--username={place.username}", "--dbname=postgres"],
        env={"PATH": os.defpath, "PGPASSWORD": place.password},
        check=True,
        capture_output=True,
    )


def standby(primary: Server, made: Files) -> NativeServer:
    """The service postgres-standby, not yet started: its entrypoint, with folder and addresses of this machine."""
    home = made.folder.path / "standby"
    give(home, USER)
    [port] = free_ports(1)
    script = made.put("standby-entrypoint", made.text("postgres/standby"))
    hba = made.put("pg_hba.conf", made.text("postgres/pg_hba.conf"))
    here = [f"-cport={port}", "-clisten_addresses=127.0.0.1", "-cunix_socket_directories=", "-cfsync=off"]
    environment = {
        "PATH": f"{find_programs()}:{os.defpath}",
        "PGDATA": str(home / "data"),
        "PRIMARY_HOST": primary.address.host,
        "PRIMARY_PORT": str(primary.address.port),
        "REPLICATION_PASSWORD_FILE": str(made.secrets / "postgres-replication"),
    }
    return NativeServer(
        address=Address(f"postgresql://penstock:{made.secret('postgres-penstock')}@127.0.0.1:{port}/penstock"),
        daemon=Daemon(
            ["sh", str(script), f"-chba_file={hba}", *here],
            folder=home,
            log=made.folder.path / "log",
            environment=environment,
            user=USER,
        ),
        answers=answers,
        stop_signal=signal.SIGINT,
        folder=made.folder,
    )


def promote(server: NativeServer) -> None:
    """As README.md says: `pg_ctl promote` by the server's own user, PGDATA in the environment."""
    subprocess.run(
        [*as_user(USER), "pg_ctl", "promote"], env=server.daemon.environment, cwd="/", check=True, capture_output=True
    )


def pgbouncer(primary: Server, other: NativeServer, made: Files) -> NativeServer:
    """The service pgbouncer, not yet started, with the addresses of this machine."""
    [port] = free_ports(1)
    text = made.text("pgbouncer/pgbouncer.ini")
    for name, value in {
        "host=postgres port=5432": f"host=127.0.0.1 port={primary.address.port}",
        "host=postgres-standby port=5432": f"host=127.0.0.1 port={other.address.port}",
        "listen_addr = *": "listen_addr = 127.0.0.1",
        "listen_port = 6432": f"listen_port = {port}",
    }.items():
        assert text.count(name) == 1, name
        text = text.replace(name, value)
    configuration = made.put("pgbouncer.ini", text)
    login = f"penstock:{made.secret('postgres-penstock')}"
    return NativeServer(
        address=Address(f"postgresql://{login}@127.0.0.1:{port}/penstock"),
        daemon=Daemon(
            [str(PROGRAM), str(configuration)],
            folder=Path("/"),
            log=made.folder.path / "pgbouncer-log",
            environment={"PATH": os.defpath},
            user=USER,
        ),
        answers=answers,
        stop_signal=signal.SIGINT,
        folder=made.folder,
    )
