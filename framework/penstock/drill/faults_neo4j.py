"""Faults inside a Neo4j that the caller owns. Each lasts as long as its block; both ends of it are waited for."""

from __future__ import annotations

import secrets
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from neo4j import GraphDatabase

from penstock.drill.accounting import query
from penstock.drill.servers.disk import fill, small_disk
from penstock.drill.servers.graph import answers
from penstock.drill.servers.native import READY, NativeServer
from penstock.drill.servers.server import Unavailable
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from neo4j import Driver

    from penstock.drill.servers import Server

#: As whom the password is changed: after three failures a user is locked out for five seconds.
OPERATOR = "penstock_faults"
CREATE_USER = "CREATE OR REPLACE USER $username SET PASSWORD $password CHANGE NOT REQUIRED"
SET_PASSWORD = "ALTER USER $username SET PASSWORD $password CHANGE NOT REQUIRED"
#: How much the disk holds that fills up, in bytes.
SIZE = 512 * 1024 * 1024


@contextmanager
def wrong_password(server: Server) -> Iterator[None]:
    """Have the password of the server's address be wrong (Security.Unauthorized), and end its user's connections."""
    address = server.address
    password = secrets.token_hex(16)
    with _driver(server, address.username, address.password) as driver:
        _run(driver, "system", CREATE_USER, username=OPERATOR, password=password)
    with _driver(server, OPERATOR, password) as driver:
        _run(driver, "system", SET_PASSWORD, username=address.username, password=secrets.token_hex(16))
        try:
            _run(driver, "neo4j", query("faults_end_connections.cypher"), username=address.username)
            yield
        finally:
            _run(driver, "system", SET_PASSWORD, username=address.username, password=address.password)
    wait_until(lambda: answers(address), READY, "the password is right again")
    with _driver(server, address.username, address.password) as driver:
        _run(driver, "system", "DROP USER $username", username=OPERATOR)


@contextmanager
def on_small_disk(server: Server) -> Iterator[Path]:
    """Have a server keep its data on a disk of SIZE bytes: it is started again for it, before and after.

    Raises Unavailable where there is nothing to make a small disk of.
    """
    if not isinstance(server, NativeServer):
        raise Unavailable("a full disk can be made for a Neo4j that is installed here, not for one in Docker")
    data = server.folder.path / "data"
    server.stop()
    aside = data.rename(data.with_name("data-aside"))
    try:
        with small_disk(data, SIZE) as disk:
            shutil.copytree(aside, disk, dirs_exist_ok=True)
            server.start()
            yield disk
            server.stop()
            shutil.rmtree(aside)
            shutil.copytree(disk, aside)
    finally:
        server.kill()
        aside.rename(data)
        server.start()


@contextmanager
def disk_full(server: Server, disk: Path) -> Iterator[None]:
    """Have the disk of `on_small_disk` be full. Afterwards the server is started again, as it says it must be."""
    try:
        with fill(disk):
            yield
    finally:
        server.kill()
        server.start()


def _driver(server: Server, username: str, password: str) -> Driver:
    return GraphDatabase.driver(server.address.without_login, auth=(username, password))


def _run(driver: Driver, database: str, statement: str, **values: str) -> None:
    with driver.session(database=database) as session:
        session.run(statement, values).consume()
