"""The graph of the stack: ArcadeDB, a Java server that speaks Bolt and Cypher, out of a Python package."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING
from urllib.parse import quote

from neo4j import AsyncGraphDatabase, NotificationMinimumSeverity

from penstock.embedded.part import Command
from penstock.embedded.secret import write_secret
from penstock.embedded.wheels import package_folder

if TYPE_CHECKING:
    from signal import Signals

    from penstock.embedded.part import Place

DATABASE = "graph"
#: Made by ArcadeDB itself; it has every right.
USERNAME = "root"
#: How long a connection may take, in seconds.
CONNECT_TIMEOUT = 3.0
#: What one statement may bring with it, in bytes: a whole batch. A longer one gets no answer.
MESSAGE_BYTES = 64 * 1024 * 1024
#: The package's parts that Penstock has no use for: other protocols, and what would add routes to the HTTP server.
UNUSED_JARS = ("arcadedb-console", "arcadedb-graphql", "arcadedb-mcp", "arcadedb-postgresw", "arcadedb-redisw")
#: Everything to standard error: the stack keeps one log of each server.
LOGGING = """\
handlers = java.util.logging.ConsoleHandler
.level = INFO
io.undertow.level = WARNING
org.xnio.level = WARNING
org.jboss.level = WARNING
java.util.logging.ConsoleHandler.level = INFO
java.util.logging.ConsoleHandler.formatter = com.arcadedb.log.LogFormatter
"""
#: A heap with a limit; the quick compiler and collector, which start soonest; no file in /tmp; an end that is noticed.
JAVA_OPTIONS = (
    "-Xms64m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "--enable-native-access=ALL-UNNAMED",
    "--add-opens=java.base/java.nio=ALL-UNNAMED",
)


class GraphPart:
    """ArcadeDB with one database and one user. It keeps nothing but what its Place's folder holds."""

    name = "graph"
    username = USERNAME
    variable = "NEO4J_URL"
    stop_signal: Signals = signal.SIGTERM

    def url(self, place: Place) -> str:
        """The value of NEO4J_URL, password included."""
        login = f"{quote(place.username, safe='')}:{quote(place.password, safe='')}"
        return f"bolt://{login}@127.0.0.1:{place.port}/{DATABASE}"

    def prepare(self, place: Place) -> None:
        """Write what the server reads when it starts, and clear away what a killed one left half-made."""
        data, scratch = place.folder / "data", place.folder / "tmp"
        data.mkdir(mode=0o700, exist_ok=True)
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(mode=0o700)
        (place.folder / "logging.properties").write_text(LOGGING)
        write_secret(place.folder / "password", place.password)

    def command(self, place: Place) -> Command:
        """How to start it. Raises UsageError where arcadedb-embedded is not installed."""
        package = package_folder("arcadedb_embedded", "arcadedb-embedded")
        jars = [jar for jar in sorted((package / "jars").glob("*.jar")) if not jar.name.startswith(UNUSED_JARS)]
        settings = (f"-D{name}={value}" for name, value in _settings(place).items())
        words = (str(package / "jre/bin/java"), *JAVA_OPTIONS, *settings, "com.arcadedb.server.ArcadeDBServer")
        return Command(words, {"CLASSPATH": os.pathsep.join(map(str, jars))})

    async def ping(self, place: Place) -> None:
        """Return if the database answers. Raises what the driver raises."""
        async with (
            AsyncGraphDatabase.driver(
                f"bolt://127.0.0.1:{place.port}",
                auth=(place.username, place.password),
                connection_timeout=CONNECT_TIMEOUT,
                notifications_min_severity=NotificationMinimumSeverity.OFF,
            ) as driver,
            driver.session(database=DATABASE) as session,
        ):
            # Not execute_query, which would wait and try again by itself.
            await (await session.run("RETURN 1")).consume()


def _settings(place: Place) -> dict[str, str]:
    """ArcadeDB's settings, and Java's own, by name."""
    return {
        "java.io.tmpdir": str(place.folder / "tmp"),
        "java.util.logging.config.file": str(place.folder / "logging.properties"),
        "user.home": str(place.folder),
        # In the mode `production` no client is told what is wrong with its statement.
        "arcadedb.server.mode": "development",
        "arcadedb.opencypher.loadCsv.allowFileUrls": "false",
        "arcadedb.server.rootPath": str(place.folder / "data"),
        "arcadedb.server.logsDirectory": str(place.folder / "data" / "log"),
        "arcadedb.server.rootPasswordPath": str(place.folder / "password"),
        "arcadedb.server.defaultDatabases": f"{DATABASE}[{USERNAME}]",
        "arcadedb.server.plugins": "Bolt:com.arcadedb.bolt.BoltProtocolPlugin",
        "arcadedb.bolt.host": "127.0.0.1",
        "arcadedb.bolt.port": str(place.port),
        # It cannot do without: a port that the kernel finds free, which nobody is told, with the same password.
        "arcadedb.server.httpIncomingHost": "127.0.0.1",
        "arcadedb.server.httpIncomingPort": "0",
        # A commit waits for the disk.
        "arcadedb.txWalFlush": "1",
        "arcadedb.bolt.maxMessageSize": str(MESSAGE_BYTES),
        "arcadedb.bolt.packstream.maxValueLength": str(MESSAGE_BYTES),
        "arcadedb.ha.enabled": "false",
        "arcadedb.support.autoRegister": "false",
    }
