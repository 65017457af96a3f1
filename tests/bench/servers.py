"""The servers everything is measured on: given by environment, in Docker, or installed here; as durable as in use."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import ExitStack, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Self

from penstock.drill.looks import cypher, sql
from penstock.drill.servers import Unavailable, shared_server
from penstock.drill.servers.embedded import development_broker
from penstock.drill.servers.graph import empty
from penstock.drill.servers.management import Management
from penstock.drill.servers.native import NativeServer

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from penstock.drill.servers import Server
    from penstock.drill.servers.choose import Kind

#: What the drills' PostgreSQL leaves out for speed, and what is PostgreSQL's own default or better.
DURABLE = {"fsync": "on", "full_page_writes": "on", "synchronous_commit": "on", "shared_buffers": "256MB"}
#: What makes the drills' Neo4j start soon and never fast.
NO_COMPILER = "-XX:TieredStopAtLevel=1"
#: The share of the machine's memory at which RabbitMQ blocks publishers: its own default; the drills give it 1 GB.
MEMORY = "0.4"


class Servers:
    """Each is started when it is first asked for, and ended at the end of the block."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._hosts: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._closing.close()

    @cached_property
    def rabbitmq(self) -> Server:
        server = self._started("rabbitmq")
        with suppress(Unavailable):
            server.control("set_vm_memory_high_watermark", MEMORY)
        return server

    def virtual_host(self, purpose: str) -> str:
        """The URL of a virtual host of our own, one for each purpose."""
        if purpose not in self._hosts:
            name = f"bench-{purpose}-{secrets.token_hex(4)}"
            management = self._closing.enter_context(Management(self.rabbitmq.address))
            management.add_virtual_host(name)
            self._closing.callback(management.remove_virtual_host, name)
            self._hosts[purpose] = self.rabbitmq.address.within(name)
        return self._hosts[purpose]

    @cached_property
    def postgres(self) -> Server:
        server = self._started("postgres")
        if isinstance(server, NativeServer):
            for name, value in DURABLE.items():
                asyncio.run(sql(server.url, f"ALTER SYSTEM SET {name} = '{value}'"))
            server.stop()
            server.start()
        return server

    @cached_property
    def postgres_url(self) -> str:
        """A database of our own."""
        name = f"bench_{secrets.token_hex(4)}"
        asyncio.run(sql(self.postgres.url, f'CREATE DATABASE "{name}"'))
        self._closing.callback(lambda: asyncio.run(sql(self.postgres.url, f'DROP DATABASE "{name}" WITH (FORCE)')))
        return self.postgres.address.within(name)

    @cached_property
    def neo4j(self) -> Server:
        server = self._started("neo4j")
        if isinstance(server, NativeServer):
            server.stop()
            server.daemon.command.remove(NO_COMPILER)
            server.start()
        return server

    @cached_property
    def neo4j_url(self) -> str:
        return self.neo4j.url

    @cached_property
    def development_url(self) -> str:
        """The development broker."""
        server = development_broker()
        self._closing.callback(server.close)
        server.start()
        return server.url

    def empty_table(self) -> None:
        """As if nobody had ever written there, and nothing of before left to be written to disk."""
        for statement in ("DROP TABLE IF EXISTS bench_rows", "CHECKPOINT"):
            asyncio.run(sql(self.postgres_url, statement))

    def count_rows(self) -> int:
        [[found]] = asyncio.run(sql(self.postgres_url, "SELECT count(*) FROM bench_rows"))
        return int(found)

    def empty_graph(self) -> None:
        """Constraints stay, and with them what the server has planned."""
        empty(self.neo4j.address)

    def count_nodes(self) -> int:
        """Nodes of records, those that are only referred to left out."""
        [[found]] = asyncio.run(cypher(self.neo4j_url, "MATCH (n) WHERE n.hash IS NOT NULL RETURN count(n)"))
        return int(found)

    def environment(self, fixed: Mapping[str, str], **more: str) -> dict[str, str]:
        """What a process is told that takes from a quorum queue and writes rows."""
        where = {"RABBITMQ_URL": self.virtual_host("quorum"), "POSTGRES_URL": self.postgres_url}
        return {**fixed, **where, **more}

    def _started(self, kind: Kind) -> Server:
        server = shared_server(kind)
        self._closing.callback(server.close)
        return server
