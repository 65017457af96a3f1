"""What a demo is made of: a reader, two workers, a sample, and how to ask the stores what they hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from penstock.settings import Settings


@dataclass(frozen=True, slots=True)
class Graph:
    """What a graph holds: nodes by their label, edges by their type."""

    nodes: Mapping[str, int]
    edges: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Query:
    """A statement worth trying. `ask` sends it and gives its rows, each as long as `headings`."""

    title: str
    statement: str
    headings: tuple[str, ...]
    ask: Callable[[Settings], Awaitable[Sequence[Sequence[object]]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Demo:
    """Everything `penstock demo` needs to know. Found by name in the entry-point group `penstock.demos`.

    `reader`, `table_worker` and `graph_worker` are names of entry points; both workers take every message of the
    reader. `table_worker` writes one row a record into PostgreSQL, where `rows` counts them by table; `graph` counts
    what `graph_worker` made. `rows`, `graph` and the queries raise SinkError while their server is away.
    """

    reader: str
    table_worker: str
    graph_worker: str
    sample: Path
    rows: Callable[[Settings], Awaitable[Mapping[str, int]]]
    graph: Callable[[Settings], Awaitable[Graph]]
    queries: tuple[Query, ...]
