"""Faults inside a PostgreSQL that the caller owns. Each lasts as long as its block; both ends of it are waited for."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from penstock.drill.accounting import query
from penstock.drill.looks import sql
from penstock.drill.servers.daemon import descendants, give
from penstock.drill.servers.disk import fill, small_disk
from penstock.drill.servers.native import READY, NativeServer
from penstock.drill.servers.postgres import USER
from penstock.drill.servers.server import Unavailable
from penstock.drill.servers.wait import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.drill.servers import Server

#: What the disk that fills up has room for beside twice what is moved onto it, in bytes.
ROOM = 16 * 1024 * 1024
#: How often a recovery that was over too soon is made again.
TRIES = 5
#: What PostgreSQL calls the process that recovers.
RECOVERS = b"postgres: startup"


@contextmanager
def wrong_password(server: Server, role: str) -> Iterator[None]:
    """Have the password of a role, not the server's own, be another (28P01), and end the role's connections."""
    [[stored]] = _ask(server.url, "faults_stored_password.sql", role)
    _set_password(server, role, secrets.token_hex(16))
    try:
        _ask(server.url, "faults_end_connections.sql", role)
        yield
    finally:
        _set_password(server, role, stored)


@contextmanager
def disk_full(server: Server, database: str) -> Iterator[None]:
    """Have the disk with the tables of a database be full (53100); the server's log of transactions is on another.

    Raises Unavailable where there is nothing to make a small disk of.
    """
    if not isinstance(server, NativeServer):
        raise Unavailable("a full disk can be made for a PostgreSQL that is installed here, not for one in Docker")
    url = server.address.within(database)
    name = f"small_{secrets.token_hex(4)}"
    [[size]] = asyncio.run(sql(url, "SELECT pg_database_size(current_database())"))
    with small_disk(server.folder.path / name, ROOM + 2 * size) as disk:
        tables = disk / "tables"
        give(tables, USER)
        [[create, drop]] = _ask(url, "faults_tablespace.sql", name, str(tables))
        asyncio.run(sql(url, create))
        try:
            _move(url, name)
            with fill(disk):
                yield
        finally:
            _move(url, "pg_default")
            asyncio.run(sql(url, drop))


@contextmanager
def recovering(server: Server) -> Iterator[None]:
    """Kill -9 the server and start it: during the block it recovers from the crash, and takes nobody in (57P03).

    Raises Unavailable where its processes are out of reach.
    """
    if not isinstance(server, NativeServer):
        raise Unavailable("a recovery can be held up in a PostgreSQL that is installed here, not in one in Docker")
    for _ in range(TRIES):
        _write_much(server)
        server.kill()
        server.daemon.spawn()
        try:
            wait_until(lambda: _hold_up(server) or server.answers(server.address), READY, "the recovery begins")
            if not server.answers(server.address):
                yield
                return
        finally:
            server.daemon.thaw()
            wait_until(lambda: server.answers(server.address), READY, "the recovery is over")
    raise Unavailable(f"{TRIES} recoveries were over before they could be held up: this machine is too fast for that")


def _write_much(server: NativeServer) -> None:
    """Leave it something to recover, else it would be over before anybody sees it."""
    asyncio.run(sql(server.url, "DROP TABLE IF EXISTS penstock_fault"))
    _ask(server.url, "faults_write_much.sql")


def _hold_up(server: NativeServer) -> bool:
    """Stop the process that recovers in its tracks; false while there is none."""
    for pid in descendants(server.daemon.pid):
        # Any of them may have ended meanwhile.
        with suppress(OSError):
            if Path(f"/proc/{pid}/cmdline").read_bytes().startswith(RECOVERS):
                os.kill(pid, signal.SIGSTOP)
                return True
    return False


def _set_password(server: Server, role: str, password: str) -> None:
    [[statement]] = _ask(server.url, "faults_set_password.sql", role, password)
    asyncio.run(sql(server.url, statement))


def _move(url: str, tablespace: str) -> None:
    """Move all tables, one at a time: their users have to wait for it, and cannot get into a deadlock with it."""
    for [statement] in _ask(url, "faults_move.sql", tablespace):
        asyncio.run(sql(url, statement))


def _ask(url: str, name: str, *values: object) -> list[list[Any]]:
    return asyncio.run(sql(url, query(name), *values))
