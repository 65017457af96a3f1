"""What can be measured, by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench import crowd, development, graphs, growth, latency, outages, publishing, replicas, spilling, tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.group import Measurable
    from bench.scale import Scale
    from bench.servers import Servers

    Maker = Callable[[Servers, Scale, dict[str, str]], Sequence[Measurable]]

#: What a quick run does.
USUAL: dict[str, Maker] = {
    "table": tables.table,
    "graph": graphs.graph,
    "publish": publishing.publish,
    "spill": spilling.spill,
    "development": development.development,
}
#: What takes long, or says something that no ratio depends on.
MORE: dict[str, Maker] = {
    "sizes": tables.sizes,
    "growth": growth.growth,
    "lone": latency.lone,
    "outage_memory": outages.outage_memory,
    "large": tables.large,
    "many": crowd.many,
    "replicas": replicas.group,
}


def chosen(names: Sequence[str], *, quick: bool) -> list[Maker]:
    """The named ones; without names all, in a quick run the usual ones. Ends the process at an unknown name."""
    every = {**USUAL, **MORE}
    if unknown := [name for name in names if name not in every]:
        raise SystemExit(f"nothing is called {unknown[0]}; there are: {', '.join(every)}")
    return [every[name] for name in names or (USUAL if quick else every)]
