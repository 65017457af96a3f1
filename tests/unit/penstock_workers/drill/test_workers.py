"""The workers of the drills take what the drills publish."""

from __future__ import annotations

import pytest

from penstock.discovery import load_worker
from penstock.drill.scene import WORKERS
from penstock.drill.workload import EXCHANGE, KEYS, body, message_id
from penstock_workers.drill.declaration import Change

NUMBER = 2 * KEYS + 7
CHANGE = Change.model_validate_json(body(NUMBER))


@pytest.mark.parametrize("name", WORKERS)
def test_each_takes_every_message(name: str) -> None:
    worker = load_worker(name)
    assert [binding.exchange for binding in worker.bindings] == [EXCHANGE]
    assert {binding.routing_key for binding in worker.bindings} == {"#"}
    assert worker.model is Change


def test_a_message_brings_the_third_version_of_its_key() -> None:
    assert Change(id=message_id(NUMBER), key=7, version=3) == CHANGE


def test_the_ledger_has_each_message_as_it_is() -> None:
    worker = load_worker("drill-ledger")
    assert worker.mode == "append"
    assert worker.mapping(CHANGE).values == {"id": message_id(NUMBER), "key": 7, "key_version": 3}
    assert worker.natural_key(CHANGE) == message_id(NUMBER)


def test_the_table_has_each_key_once() -> None:
    worker = load_worker("drill-table")
    assert worker.mapping(CHANGE).values == {"key": 7, "id": message_id(NUMBER)}
    assert worker.natural_key(CHANGE) == 7


def test_the_graph_ties_the_key_to_its_message_and_collapses_none() -> None:
    worker = load_worker("drill-graph")
    row = worker.mapping(CHANGE)
    assert (row.id, dict(row.edges)) == ("7", {"newest": [message_id(NUMBER)]})
    assert worker.mode == "update"
