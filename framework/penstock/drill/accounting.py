"""What the sinks hold at the end of a drill against what the publisher was told is safe. Never Penstock's own counters.

Three sinks take every message. The ledger (drill-ledger: append, PostgreSQL, no unique id) holds each message as a row,
in the order of writing. The table (drill-table: upsert, PostgreSQL) holds of each key the newest version. The graph
(drill-graph: Neo4j) holds a node a message, and of each key a node with the newest version and an edge to its message.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from penstock.drill.looks import cypher, sql
from penstock.drill.workload import message_id, newest, number_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence


@dataclass(frozen=True, slots=True)
class Found:
    """What one sink holds of the safe messages. Ids of messages; `not_newest` are keys with an older version or none.

    duplicated: rows beyond one an id, or of something else than their key and version say. in_order: each key's
    versions were written one after the other; overtaken: messages of any key that were written after one published
    later. None where the sink does not tell.
    """

    ids: frozenset[str]
    not_newest: frozenset[int] = frozenset()
    duplicated: int = 0
    in_order: bool | None = None
    overtaken: int | None = None


@dataclass(frozen=True, slots=True)
class Sinks:
    """Where the sinks are; None: that one takes no part."""

    ledger: str | None = field(default=None, repr=False)
    table: str | None = field(default=None, repr=False)
    graph: str | None = field(default=None, repr=False)


def look_into(sinks: Sinks, safe: Collection[int]) -> dict[str, Found]:
    """Ask each sink, by name. Raises what its driver raises where it does not answer."""
    return asyncio.run(_look_into(sinks, safe))


async def _look_into(sinks: Sinks, safe: Collection[int]) -> dict[str, Found]:
    found = {}
    if sinks.ledger is not None:
        found["ledger"] = of_ledger(await sql(sinks.ledger, query("ledger.sql")))
    if sinks.table is not None:
        found["table"] = of_table(await sql(sinks.table, query("table.sql")), safe)
    if sinks.graph is not None:
        messages = await cypher(sinks.graph, query("graph_messages.cypher"))
        found["graph"] = of_graph(await cypher(sinks.graph, query("graph_keys.cypher")), messages, safe)
    return found


def query(name: str) -> str:
    """The text of one of the drills' own statements."""
    return (files("penstock.drill") / name).read_text(encoding="utf-8")


def of_ledger(rows: Iterable[Sequence[Any]]) -> Found:
    """Rows are (id, key, version), in the order in which they were written."""
    times: Counter[str] = Counter()
    reached: dict[int, int] = {}
    in_order = True
    last = overtaken = 0
    for id_, key, version in rows:
        times[id_] += 1
        in_order &= version >= reached.get(key, 0)
        reached[key] = version
        number = number_of(key, version)
        overtaken += number < last
        last = max(last, number)
    beyond = times.total() - len(times)
    return Found(frozenset(times), duplicated=beyond, in_order=in_order, overtaken=overtaken)


def of_table(rows: Iterable[Sequence[Any]], safe: Collection[int]) -> Found:
    """Rows are (key, version, id of the message it came with), one a key."""
    return _of_keys([(key, version, [id_]) for key, version, id_ in rows], safe)


def of_graph(keys: Iterable[Sequence[Any]], messages: Iterable[Sequence[Any]], safe: Collection[int]) -> Found:
    """Keys are (key, version, [id of the message it is tied to]), messages (id,)."""
    of_keys = _of_keys([(int(key), version, ids) for key, version, ids in keys], safe)
    times = Counter(id_ for (id_,) in messages)
    beyond = times.total() - len(times)
    return Found(frozenset(times), of_keys.not_newest, of_keys.duplicated + beyond)


def _of_keys(rows: Sequence[tuple[int, int, list[str]]], safe: Collection[int]) -> Found:
    wanted = newest(safe)
    stored = {key: version for key, version, _ in rows}
    behind = frozenset(key for key, version in wanted.items() if stored.get(key, 0) < version)
    wrong = sum(ids != [message_id(number_of(key, version))] for key, version, ids in rows)
    ids = frozenset(id_ for _, _, tied in rows for id_ in tied)
    return Found(ids, behind, wrong + len(rows) - len(stored))
