"""What the Discogs workers have in common: everything but mapping and sink."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from penstock.worker import Binding, Worker
from penstock_workers.discogs.records import DiscogsRecord, natural_key

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from penstock.settings import Settings
    from penstock.sink import Endpoint, Sink

EXCHANGE = "discogs"
TYPES = ("artist", "label", "master", "release")


def discogs_worker(
    *,
    name: str,
    port: int,
    description: str,
    mapping: Callable[[Any], Any],
    sink: Callable[[Worker, Settings], Sink],
    endpoints: Callable[[Settings], Sequence[Endpoint]],
) -> Worker:
    """A worker that takes every Discogs record from the topic exchange `discogs`, whose routing keys are the types."""
    return Worker(
        name=name,
        model=DiscogsRecord,
        natural_key=natural_key,
        mapping=mapping,
        sink=sink,
        endpoints=endpoints,
        bindings=tuple(Binding(EXCHANGE, routing_key) for routing_key in TYPES),
        port=port,
        description=description,
    )
