"""The sinks under contract: one class a kind of sink, one line of CASES a mode."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import asyncpg
from neo4j import AsyncGraphDatabase

from penstock.drill.servers import Address
from penstock.outcome import Poison
from penstock.settings import Neo4j, Postgres, Settings
from penstock.sink import Endpoint
from penstock.testing import MemorySink, MemoryTaken
from penstock.worker import Worker
from penstock_workers.graph.pattern import Node, Pattern
from penstock_workers.graph.row import NodeRow
from penstock_workers.graph.sink import graph_sink
from penstock_workers.table.row import TableRow
from penstock_workers.table.sink import table_sink
from penstock_workers.table.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Mapping, Sequence

    from penstock.drill.servers import Server
    from penstock.outcome import Refusal
    from penstock.record import Record
    from penstock.sink import Sink
    from penstock.taken_contract import BackupTarget
    from penstock.worker import Mode


class Case(NamedTuple):
    """A sink in one mode. `needs` names the server whose URL `make` takes; "" where it needs none."""

    name: str
    mode: Mode
    needs: Literal["postgres", "neo4j", "arcadedb", ""]
    make: Callable[[str, Mode], BackupTarget]


class MemoryTarget:
    """The sink in memory, or one of a class derived from it; what it holds is the server."""

    def __init__(self, _url: str, mode: Mode, kind: type[MemorySink] = MemorySink) -> None:
        self.endpoint = Endpoint("memory", "memory:")
        self._mode = mode
        self._kind = kind
        self._states: dict[Hashable, Record] = {}
        self._events: list[Record] = []
        self._backup = MemoryTaken()

    def sink(self) -> MemorySink:
        return self._sink("contract")

    def neighbour(self) -> MemorySink:
        return self._sink("neighbour")

    def _sink(self, worker: str) -> MemorySink:
        sink = self._kind(self._mode, refuses=_refuses, worker=worker)
        sink.states, sink.events, sink.backup = self._states, self._events, self._backup
        return sink

    def row(self, name: str, text: str) -> Any:
        return {"name": name, "text": text}

    def poison(self, name: str) -> Any:
        return {"name": name, "poison": True}

    async def stored(self) -> Mapping[str, Sequence[str]]:
        rows = [record.row for record in (*self._states.values(), *self._events)]
        return {row["name"]: [other["text"] for other in rows if other["name"] == row["name"]] for row in rows}

    async def fingerprint(self) -> object:
        taken = {worker: list(messages) for worker, messages in self._backup.messages.items()}
        return list(self._states.values()), list(self._events), taken

    async def set_hash(self, name: str, stored_hash: str | None) -> None:
        self._states[name] = replace(self._states[name], content_hash=stored_hash or "")


def _refuses(record: Record) -> Refusal | None:
    return Poison("bad_data", "Test", "refused") if record.row.get("poison") else None


class TableTarget:
    """The table sink on PostgreSQL; its tables and worker have names of their own, so that targets share a database."""

    def __init__(self, url: str, mode: Mode) -> None:
        self.endpoint = Endpoint("contract", url)
        self._mode = mode
        self._worker = f"contract-{secrets.token_hex(6)}"
        self._table = Table(
            self._worker.replace("-", "_"),
            {"name": "text", "text": "text", "absent": "integer"},
            key=() if mode == "append" else ("name",),
        )

    def sink(self) -> Sink:
        return self._sink(self._worker)

    def neighbour(self) -> Sink:
        return self._sink(f"{self._worker}-neighbour")

    def _sink(self, name: str) -> Sink:
        make = table_sink(self._table)
        worker = Worker(
            name=name,
            model=dict,
            natural_key=str,
            mapping=dict,
            sink=make,
            endpoints=lambda _: [self.endpoint],
            mode=self._mode,
        )
        return make(worker, Settings(postgres=Postgres(pool_min=1, pool_max=2, connect_timeout=3)))

    def row(self, name: str, text: str) -> Any:
        return TableRow(self._table.name, {"name": name, "text": text})

    def poison(self, name: str) -> Any:
        return self.row(name, "\0")

    async def stored(self) -> Mapping[str, Sequence[str]]:
        rows = await self._fetch(f"SELECT name, text FROM {self._table.name} ORDER BY ctid")  # noqa: S608 our own name
        return {name: [text for other, text in rows if other == name] for name, _ in rows}

    async def fingerprint(self) -> object:
        """The tables of our name, and each row's place and last writing transaction."""
        tables = await self._fetch(
            "SELECT oid, relname FROM pg_class WHERE relkind = 'r' AND relname = ANY ($1) ORDER BY oid",
            [self._table.name, "penstock_ledger", "penstock_taken"],
        )
        rows = {name: await self._fetch(f"SELECT xmin, ctid, t::text FROM {name} t") for _, name in tables}  # noqa: S608
        return tables, rows

    async def set_hash(self, name: str, stored_hash: str | None) -> None:
        await self._fetch(f"UPDATE {self._table.name} SET hash = $2 WHERE name = $1", name, stored_hash)  # noqa: S608

    async def _fetch(self, statement: str, *arguments: object) -> list[tuple[Any, ...]]:
        connection = await asyncpg.connect(self.endpoint.url)
        try:
            return [tuple(row) for row in await connection.fetch(statement, *arguments)]
        finally:
            await connection.close()


class GraphTarget:
    """The graph sink on either graph; its label and worker have names of their own, so that targets share a graph."""

    def __init__(self, url: str, mode: Mode) -> None:
        self.endpoint = Endpoint("contract", url)
        self._mode = mode
        self._worker = f"contract-{secrets.token_hex(6)}"
        self._label = self._worker.replace("-", "_")

    def sink(self) -> Sink:
        return self._sink(self._worker)

    def neighbour(self) -> Sink:
        return self._sink(f"{self._worker}-neighbour")

    def _sink(self, name: str) -> Sink:
        make = graph_sink(Pattern((Node("thing", self._label, key="name"),)))
        worker = Worker(
            name=name,
            model=dict,
            natural_key=str,
            mapping=dict,
            sink=make,
            endpoints=lambda _: [self.endpoint],
            mode=self._mode,
        )
        return make(worker, Settings(neo4j=Neo4j(pool_size=2, connect_timeout=3)))

    def row(self, name: str, text: str) -> Any:
        return NodeRow("thing", name, {"text": text})

    def poison(self, name: str) -> Any:
        return NodeRow("thing", name, {"text": {"a": "map"}})

    async def stored(self) -> Mapping[str, Sequence[str]]:
        return {name: [text] for name, text in await self._fetch(f"MATCH (n:{self._label}) RETURN n.name, n.text")}

    async def fingerprint(self) -> object:
        """The nodes of our label and those of the backup with their ids, and the indexes of our label."""
        ours = f"n:{self._label} OR n:PenstockTaken OR n:PenstockTaking OR n:PenstockTaker"
        nodes = f"MATCH (n) WHERE {ours} RETURN elementId(n) AS id, properties(n) ORDER BY id"
        indexes = "SHOW INDEXES YIELD id, labelsOrTypes, state WHERE $label IN labelsOrTypes RETURN id, state"
        return await self._fetch(nodes), await self._fetch(indexes, label=self._label)

    async def set_hash(self, name: str, stored_hash: str | None) -> None:
        await self._fetch(f"MATCH (n:{self._label} {{name: $name}}) SET n.hash = $hash", name=name, hash=stored_hash)

    async def _fetch(self, statement: str, **parameters: object) -> list[tuple[Any, ...]]:
        address = Address(self.endpoint.url)
        login = (address.username, address.password)
        async with AsyncGraphDatabase.driver(address.without_login, auth=login) as driver:
            answer = await driver.execute_query(statement, parameters)
            return [tuple(record.values()) for record in answer.records]


class Controlled:
    """A server that the contract may take away."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.url = server.url

    async def stop(self) -> None:
        await asyncio.to_thread(self._server.stop)

    async def start(self) -> None:
        await asyncio.to_thread(self._server.start)

    async def freeze(self) -> None:
        await asyncio.to_thread(self._server.freeze)

    async def thaw(self) -> None:
        await asyncio.to_thread(self._server.thaw)


CASES = (
    Case("memory", "upsert", "", MemoryTarget),
    Case("memory", "update", "", MemoryTarget),
    Case("memory", "append", "", MemoryTarget),
    Case("table", "upsert", "postgres", TableTarget),
    Case("table", "update", "postgres", TableTarget),
    Case("table", "append", "postgres", TableTarget),
    Case("graph", "upsert", "neo4j", GraphTarget),
    Case("graph-on-arcadedb", "upsert", "arcadedb", GraphTarget),
)
