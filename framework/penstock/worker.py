"""A worker is a declaration: one queue, one sink, and what happens to a record in between."""

from __future__ import annotations

from dataclasses import dataclass
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union, get_args, get_origin

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Sequence

    from penstock.settings import Settings
    from penstock.sink import Endpoint, Sink

#: upsert: the record is the whole state of its natural key; update: a part of it; append: an event.
#: Only upsert collapses several records of one natural key in a batch.
Mode = Literal["upsert", "update", "append"]


@dataclass(frozen=True, slots=True)
class Binding:
    """Where a worker's queue gets its messages: an exchange (declared durable) and a routing key."""

    exchange: str
    routing_key: str = "#"
    exchange_type: Literal["topic", "direct", "fanout", "headers"] = "topic"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Worker:
    """Everything Penstock needs to know of a worker. Found by name in the entry-point group `penstock.workers`.

    model: a pydantic model, or any type pydantic can validate (a discriminated union, say).
    natural_key: of a validated record, what its row is called at the source: hashable.
    mapping: of a validated record, the row in the shape the sink takes. It may raise ValueError for
        a record that cannot be mapped, which makes it Poison.
    sink: makes the (unopened) sink; settings decide sizes and time limits.
    endpoints: the sink's servers in order of preference, from the settings.
    mapping_version: raise it when the mapping changes, and every record is written again.
    version: of a validated record, its version at the source, or None; left out, its attribute `version` if it has one.
    key_fields: the top-level fields that identify the event; empty means the whole record.
    """

    name: str
    model: Any
    natural_key: Callable[[Any], Hashable]
    mapping: Callable[[Any], Any]
    sink: Callable[[Worker, Settings], Sink]
    endpoints: Callable[[Settings], Sequence[Endpoint]]
    bindings: tuple[Binding, ...] = ()
    mode: Mode = "upsert"
    mapping_version: int = 1
    version: Callable[[Any], int | None] | None = None
    key_fields: tuple[str, ...] = ()
    port: int = 0
    description: str = ""

    @property
    def queue(self) -> str:
        """The queue has the worker's name."""
        return self.name

    @property
    def dead_letter_queue(self) -> str:
        """Where this worker's dead letters go."""
        return f"{self.name}.dlq"

    @property
    def suspects_queue(self) -> str:
        """Where it is noted that a suspect is tried alone."""
        return f"{self.name}.suspects"


def may_be_late(worker: Worker) -> bool:
    """Whether a record may be written later than newer ones: it is an event, or its version tells which is newer."""
    return worker.mode == "append" or worker.version is not None or _has_version(worker.model)


def _has_version(model: Any) -> bool:
    """Whether every record of this type has an attribute `version`, which the codec takes for its version."""
    if get_origin(model) is Annotated:
        return _has_version(get_args(model)[0])
    if get_origin(model) in {Union, UnionType}:
        return all(map(_has_version, get_args(model)))
    fields = getattr(model, "model_fields", None) or getattr(model, "__dataclass_fields__", {})
    return "version" in fields or hasattr(model, "version")
