"""PostgreSQL and the graph of the embedded stack as real processes: logins, kills, listeners, users."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import psutil
import pytest
from neo4j import GraphDatabase
from neo4j.exceptions import AuthError, DriverError, Neo4jError

from penstock.drill.servers.embedded import PASSWORD, embedded_server
from penstock.drill.servers.wait import wait_until
from penstock.embedded.graph import GraphPart
from penstock.embedded.part import Place
from penstock.embedded.ports import free_ports
from penstock.embedded.postgres import PostgresPart
from penstock.embedded.unprivileged import NOBODY
from penstock.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from neo4j import Driver

    from penstock.drill.servers.native import NativeServer
    from penstock.embedded.part import Part

PARTS = (PostgresPart(), GraphPart())
TESTS = Path(__file__).parents[1]
REFUSED = (asyncpg.InvalidPasswordError, AuthError)

#: As root, but the kernel forbids user namespaces and leaves the capabilities that Docker gives.
CONFINED = (sys.executable, "-m", "support.confined")
#: As nobody. The one capability is for this checkout, which may lie where nobody can go; it lets nobody write.
AS_NOBODY = (
    "setpriv",
    f"--reuid={NOBODY}",
    f"--regid={NOBODY}",
    "--clear-groups",
    "--inh-caps=-all,+dac_read_search",
    "--ambient-caps=-all,+dac_read_search",
    "--bounding-set=-all,+dac_read_search",
    "--",
)
as_root = pytest.mark.skipif(
    os.geteuid() != 0 or sys.platform != "linux", reason="only root on Linux can become somebody else"
)


class Running:
    """One part, its place and its process."""

    def __init__(self, part: PostgresPart | GraphPart) -> None:
        self.part = part
        self.server: NativeServer = embedded_server(part)
        self.place = Place(self.server.daemon.folder, self.server.address.port, part.username, PASSWORD)

    def ping(self, password: str = PASSWORD) -> None:
        asyncio.run(self.part.ping(replace(self.place, password=password)))

    def start_again(self) -> None:
        """As the stack does it."""
        self.part.prepare(self.place)
        self.server.start()

    def processes(self) -> list[psutil.Process]:
        """The server and its children."""
        return [process for process in psutil.Process().children(recursive=True) if self._is_ours(process)]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return Path(process.cwd()).is_relative_to(self.place.folder)
        except psutil.NoSuchProcess:
            # One of another server, or of a drill: they come and go.
            return False

    def save(self, numbers: Iterable[int]) -> None:
        """Each number in a transaction of its own, which is committed when this returns."""
        match self.part:
            case PostgresPart():
                asyncio.run(_insert(self.server.url, numbers))
            case GraphPart():
                with _driver(self.server) as driver, driver.session(database="graph") as session:
                    for number in numbers:
                        with session.begin_transaction() as transaction:
                            transaction.run("CREATE (:Kept {number: $number})", number=number).consume()
                            transaction.commit()

    def saved(self) -> list[int]:
        match self.part:
            case PostgresPart():
                return asyncio.run(_select(self.server.url))
            case GraphPart():
                with _driver(self.server) as driver, driver.session(database="graph") as session:
                    return list(session.run("MATCH (n:Kept) RETURN n.number ORDER BY n.number").value())


async def _insert(url: str, numbers: Iterable[int]) -> None:
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE IF NOT EXISTS kept (number integer)")
    for number in numbers:
        await connection.execute("INSERT INTO kept VALUES ($1)", number)
    await connection.close()


async def _select(url: str) -> list[int]:
    connection = await asyncpg.connect(url)
    rows = await connection.fetch("SELECT number FROM kept ORDER BY number")
    await connection.close()
    return [row["number"] for row in rows]


def _driver(server: NativeServer) -> Driver:
    return GraphDatabase.driver(server.address.without_login, auth=(server.address.username, server.address.password))


@contextmanager
def started(part: PostgresPart | GraphPart) -> Iterator[Running]:
    running = Running(part)
    try:
        running.server.start()
        yield running
    finally:
        running.server.close()


@pytest.fixture(scope="module", params=PARTS, ids=lambda part: part.name)
def running(request: pytest.FixtureRequest) -> Iterator[Running]:
    """A server that runs; a test may stop and kill it and has to leave it running."""
    with started(request.param) as running:
        yield running


@pytest.fixture(scope="module")
def running_postgres() -> Iterator[Running]:
    """As `running`, PostgreSQL alone."""
    with started(PostgresPart()) as running:
        yield running


def test_it_answers_and_refuses_a_wrong_password(running: Running) -> None:
    running.ping()
    with pytest.raises(REFUSED):
        running.ping("not-the-password")


def test_it_listens_on_loopback_alone(running: Running) -> None:
    sockets = [socket for process in running.processes() for socket in process.net_connections("inet")]
    listening = {socket.laddr for socket in sockets if socket.status == psutil.CONN_LISTEN}
    assert {address.ip for address in listening} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    others = {address.port for address in listening} - {running.place.port}
    # ArcadeDB cannot do without its HTTP server: it has a port the kernel chose.
    assert len(others) == (1 if running.part.name == "graph" else 0)
    assert running.place.port in {address.port for address in listening}


def test_two_of_a_kind_do_not_meet(running: Running) -> None:
    with started(running.part) as other:
        other.save([1])
        running.ping()
        assert other.saved() == [1]


def test_its_password_is_in_no_command_line_environment_or_log(running: Running) -> None:
    running.ping()
    processes = running.processes()
    assert processes
    logs = [file for file in (running.server.daemon.log, *running.place.folder.rglob("*log*")) if file.is_file()]
    texts = [file.read_text(errors="replace") for file in logs]
    assert any(texts)
    texts += [word for process in processes for word in (*process.cmdline(), *process.environ().values())]
    # The names of the tests' folders begin with the same words.
    assert not [text for text in texts if re.search(f"{PASSWORD}(?!-)", text)]


def test_what_was_committed_outlives_kill_9_and_stop(running: Running) -> None:
    running.save(range(100))
    running.server.kill()
    running.start_again()
    assert running.saved() == list(range(100))
    running.save(range(100, 120))
    running.server.stop()
    running.start_again()
    assert running.saved() == list(range(120))


def test_it_ends_within_seconds_though_clients_are_at_work(running: Running) -> None:
    with _transaction_without_end(running):
        running.server.daemon.stop(running.part.stop_signal, 20)
    running.start_again()
    running.ping()


@contextmanager
def _transaction_without_end(running: Running) -> Iterator[None]:
    match running.part:
        case PostgresPart():
            with asyncio.Runner() as runner:
                connection = runner.run(asyncpg.connect(running.server.url))
                runner.run(connection.execute("BEGIN; CREATE TABLE begun (number integer)"))
                yield
                with suppress(OSError, asyncpg.PostgresError):
                    runner.run(connection.execute("COMMIT"))
        case GraphPart():
            with _driver(running.server) as driver, driver.session(database="graph") as session:
                transaction = session.begin_transaction()
                transaction.run("CREATE (:Begun)").consume()
                yield
                with suppress(DriverError, Neo4jError):
                    transaction.commit()


def test_a_graph_killed_in_the_midst_of_its_first_start_starts_again() -> None:
    running = Running(GraphPart())
    daemon = running.server.daemon
    try:
        for mark in ("Creating root user", "Listening for incoming BOLT", "Creating default database"):
            daemon.spawn()
            wait_until(lambda text=mark: daemon.log.exists() and text in daemon.log.read_text(), 60, mark)
            daemon.kill()
            daemon.log.unlink()
        running.start_again()
        running.save([1])
        assert running.saved() == [1]
    finally:
        running.server.close()


def test_an_initdb_that_was_killed_or_still_runs_does_not_keep_the_next_from_its_work(tmp_path: Path) -> None:
    part, place = PostgresPart(), Place(tmp_path, free_ports(1)[0], "penstock", PASSWORD)
    process = subprocess.Popen(command_for("postgres", place), env=environment())
    wait_until(lambda: any(tmp_path.glob("making-*/data/PG_VERSION")), 60, "initdb is at work")
    process.kill()
    process.wait()
    assert not (tmp_path / "data").exists()
    part.prepare(place)
    subprocess.run(command_for("postgres", place), env=environment(), check=True, stdout=subprocess.DEVNULL)


def test_a_second_start_on_a_running_server_is_told(running_postgres: Running) -> None:
    with pytest.raises(StackError, match=r"runs in .* already, as process"):
        running_postgres.part.prepare(running_postgres.place)
    running_postgres.ping()


def test_a_pid_file_that_names_another_living_process_is_no_obstacle(running_postgres: Running) -> None:
    running_postgres.server.kill()
    file = running_postgres.place.folder / "data" / "postmaster.pid"
    # It has the same user, so that PostgreSQL by itself would take it for the server of old.
    other = subprocess.Popen(["sleep", "600"])
    try:
        file.write_text(f"{other.pid}\n{file.read_text().partition(chr(10))[2]}")
        running_postgres.start_again()
        running_postgres.ping()
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()


async def test_a_long_query_of_a_killed_server_is_no_obstacle(running_postgres: Running) -> None:
    count = "SELECT count(*) FROM generate_series(1, 100000) AS a, generate_series(1, 100000) AS b"
    connection = await asyncpg.connect(running_postgres.server.url)
    query = asyncio.create_task(connection.fetchval(count))
    watcher = await asyncpg.connect(running_postgres.server.url)
    async with asyncio.timeout(20):
        while not await watcher.fetchval("SELECT count(*) FROM pg_stat_activity WHERE query = $1", count):
            pass
    # The server alone: the process with the query goes on.
    os.kill(int((running_postgres.place.folder / "data" / "postmaster.pid").read_text().split()[0]), signal.SIGKILL)
    await asyncio.to_thread(wait_until, lambda: not running_postgres.server.daemon.running, 20, "it is dead")
    await asyncio.to_thread(running_postgres.start_again)
    with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
        await query
    for one in (connection, watcher):
        one.terminate()


def command_for(name: str, place: Place) -> list[str]:
    """Start, ask and stop a server in a process of its own."""
    return [sys.executable, "-m", "support.embedded_part", name, str(place.folder), str(place.port)]


def environment() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": str(TESTS)}


def user_of(name: str, folder: Path, prefix: Sequence[str] = ()) -> int:
    """Have a server start, answer and stop, and tell the id of the user it ran as."""
    place = Place(folder, free_ports(1)[0], "", "")
    done = subprocess.run(
        [*prefix, *command_for(name, place)], env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, int] = json.loads(done.stdout)
    return result["user"]


def above(folder: Path) -> list[tuple[int, int, int]]:
    """Mode and owner of the folders above."""
    return [(stat.st_mode, stat.st_uid, stat.st_gid) for stat in (parent.stat() for parent in folder.parents)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of this user's, below folders where no other may go."""
    tmp_path.chmod(0o700)
    folder = tmp_path / "server"
    folder.mkdir(mode=0o700)
    return folder


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_it_runs_as_whoever_starts_it_and_changes_nothing_above_its_folder(part: Part, folder: Path) -> None:
    before = above(folder)
    assert user_of(part.name, folder) == os.geteuid()
    assert above(folder) == before


@as_root
@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_it_runs_as_a_user_without_rights(part: Part) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chown(folder, NOBODY, NOBODY)
        assert user_of(part.name, Path(folder), AS_NOBODY) == NOBODY


@as_root
def test_where_namespaces_are_forbidden_postgresql_runs_as_nobody_below_folders_of_root(folder: Path) -> None:
    forbidden = subprocess.run([*CONFINED, "unshare", "--user", "true"], env=environment(), check=False)
    assert forbidden.returncode != 0
    before = above(folder)
    assert user_of("postgres", folder, CONFINED) == NOBODY
    assert above(folder) == before
    assert (folder.stat().st_uid, (folder / "data").stat().st_uid) == (0, NOBODY)


@as_root
def test_data_made_in_one_way_is_used_in_the_other(folder: Path) -> None:
    for prefix, user in ((CONFINED, NOBODY), ((), 0), (CONFINED, NOBODY)):
        assert user_of("postgres", folder, prefix) == user
        assert (folder / "data" / "base").stat().st_uid == user
