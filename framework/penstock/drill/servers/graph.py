"""Neo4j, installed here out of its Java archives."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from neo4j import GraphDatabase
from neo4j.exceptions import DriverError, Neo4jError

from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon, as_user
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.jars import find_jars, find_java, java_release, made_once
from penstock.drill.servers.native import NativeServer
from penstock.embedded.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from neo4j import Session

USER = "neo4j"
PASSWORD = "penstock-test"
#: Java's archive of the classes that a server loads.
ARCHIVE = "classes.jsa"
#: The heap is not taken from the configuration when Java is started directly. A server that is started often is to
#: start soon: the simple collector and compiler save it a third of the work.
JAVA_OPTIONS = (
    "-Xms512m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-OmitStackTraceInFastThrow",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
    "--add-opens=java.base/java.io=ALL-UNNAMED",
    "--add-opens=java.base/sun.nio.ch=ALL-UNNAMED",
    "-Dio.netty.tryReflectionSetAccessible=true",
    "-Dlog4j2.disable.jmx=true",
    "-Dfile.encoding=UTF-8",
)
#: Without tx_log.preallocate each database takes 256 MiB of disk for its first transaction; without the two wait times
#: a clean stop waits ten seconds for nothing.
CONFIGURATION = """
server.default_listen_address=127.0.0.1
server.default_advertised_address=127.0.0.1
server.bolt.listen_address=127.0.0.1:{port}
server.bolt.advertised_address=127.0.0.1:{port}
server.http.enabled=false
server.https.enabled=false
server.memory.pagecache.size=128m
dbms.security.auth_enabled=true
dbms.usage_report.enabled=false
db.logs.query.enabled=OFF
db.tx_log.preallocate=false
internal.server.bolt.connection_shutdown_wait_time=200ms
internal.server.bolt.thread_pool_shutdown_wait_time=200ms
"""


def native_neo4j() -> NativeServer:
    """A server of its own, with a password: data, port and process. Raises Unavailable."""
    java, jars = find_java(), find_jars()
    prepared = made_once(f"{jars.parent.name}-prepared-{java_release(java)}", partial(_prepare, java, jars))
    folder = Folder("neo4j")
    shutil.copytree(prepared / "data", folder.path / "data")
    # Java goes on without the archive where it does not fit.
    return _server(java, jars, folder, f"-XX:SharedArchiveFile={prepared / ARCHIVE}")


def _server(java: str, jars: Path, folder: Folder, option: str) -> NativeServer:
    home, configuration = folder.path, folder.path / "conf"
    [port] = free_ports(1)
    configuration.mkdir()
    (configuration / "neo4j.conf").write_text(CONFIGURATION.format(port=port))
    places = [f"--home-dir={home}", f"--config-dir={configuration}"]
    command = [java, *JAVA_OPTIONS, option, *_classes(jars), "org.neo4j.server.CommunityEntryPoint", *places]
    return NativeServer(
        address=Address(f"bolt://{USER}:{PASSWORD}@127.0.0.1:{port}"),
        daemon=Daemon(command, folder=home, log=home / "log", environment=_environment(home)),
        answers=answers,
        stop_signal=signal.SIGTERM,
        folder=folder,
    )


def _prepare(java: str, jars: Path, prepared: Path) -> None:
    """Make what each server begins with: data in which the password is set, and the classes as Java maps them.

    It takes a minute, once a machine, and saves each server some seconds of its start, most of them of the processor.
    """
    folder = Folder("neo4j")
    server = _server(java, jars, folder, f"-XX:ArchiveClassesAtExit={prepared / ARCHIVE}")
    try:
        command = ["org.neo4j.cli.AdminTool", "dbms", "set-initial-password", PASSWORD]
        subprocess.run(
            [*as_user(None), java, *_classes(jars), *command],
            cwd=folder.path,
            env=_environment(folder.path),
            check=True,
            capture_output=True,
        )
        server.start()
        wipe(server.address)
        server.stop()
        (folder.path / "data").rename(prepared / "data")
    finally:
        server.close()


def _classes(jars: Path) -> list[str]:
    return ["-cp", f"{jars}/*"]


def _environment(home: Path) -> dict[str, str]:
    environment = {"PATH": os.defpath, "LANG": "C.UTF-8", "HOME": str(home)}
    return environment | {"NEO4J_HOME": str(home), "NEO4J_CONF": str(home / "conf")}


def answers(address: Address) -> bool:
    """Whether a query is answered: the port alone is open some time before."""
    login = (address.username, address.password)
    try:
        with (
            GraphDatabase.driver(address.without_login, auth=login, connection_timeout=2) as driver,
            driver.session() as session,
        ):
            # Not execute_query, which would wait and try again by itself.
            session.run("RETURN 1").consume()
    except (DriverError, Neo4jError, OSError):
        return False
    return True


def empty(address: Address) -> None:
    """Remove all nodes and edges."""
    with _session(address) as session:
        session.run("MATCH (node) CALL { WITH node DETACH DELETE node } IN TRANSACTIONS").consume()


def wipe(address: Address) -> None:
    """Remove all nodes, edges, constraints and indexes."""
    empty(address)
    with _session(address) as session:
        for name in session.run("SHOW CONSTRAINTS YIELD name").value():
            session.run(f"DROP CONSTRAINT `{name}`").consume()
        for name in session.run("SHOW INDEXES YIELD name, type WHERE type <> 'LOOKUP' RETURN name").value():
            session.run(f"DROP INDEX `{name}`").consume()


@contextmanager
def _session(address: Address) -> Iterator[Session]:
    login = (address.username, address.password)
    with GraphDatabase.driver(address.without_login, auth=login) as driver, driver.session() as session:
        yield session
