"""Workers in their place, for tests of what Kubernetes is told of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from pydantic import BaseModel

from penstock.deploy.placement import Deployed, Placement, in_cluster
from penstock.settings import load
from penstock.stores import neo4j, postgres
from penstock.worker import Worker

PLACEMENT = Placement(image="penstock:test")


class Versioned(BaseModel):
    number: int
    version: int


class Plain(BaseModel):
    number: int


def no_sink(_worker: Worker, _settings: object) -> Any:
    raise AssertionError("nothing is written here")


#: A worker of PostgreSQL whose records have a version; others are made of it.
TABLE = Worker(
    name="orders",
    model=Versioned,
    natural_key=lambda record: record.number,
    mapping=lambda record: record,
    sink=no_sink,
    endpoints=postgres.endpoints,
)
GRAPH = replace(TABLE, name="friends", endpoints=neo4j.endpoints)
ORDERED = replace(TABLE, name="states", model=Plain)
EVENTS = replace(ORDERED, name="events", mode="append")


def deployed(worker: Worker = TABLE, *, placement: Placement = PLACEMENT, **variables: str) -> Deployed:
    """A worker with the settings that these variables make."""
    settings = in_cluster(load(worker.name, environ=variables))
    return Deployed(worker=worker, settings=settings, placement=placement)
