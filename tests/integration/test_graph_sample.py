"""The real records through mapping and graph sink into both real graphs, held against the independent count."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from pydantic import TypeAdapter

from graphs import Store, batches, connect, dice, record
from integration.discogs_counts import graph_of
from penstock.outcome import DUPLICATE, WRITTEN
from penstock.settings import Settings
from penstock.sink import Endpoint
from penstock.source import open_source
from penstock_workers.discogs.graph import PATTERN, mapping, worker
from penstock_workers.discogs.reader import reader
from penstock_workers.discogs.records import AnyRecord, DiscogsRecord
from penstock_workers.graph.sink import GraphSink

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.record import Record


@pytest.fixture(scope="module")
def records(sample_data: Path) -> list[Record]:
    adapter: TypeAdapter[AnyRecord] = TypeAdapter(DiscogsRecord)
    found = []
    for path in reader.files(sample_data / "discogs"):
        with open_source(path) as source:
            bodies = [message.body for message in reader.read(source.stream, source.name)]
        found += [record(mapping(adapter.validate_json(body))) for body in bodies]
    return found


@pytest.mark.parametrize("mixed", [False, True])
async def test_the_sample_becomes_its_graph_and_a_second_time_changes_nothing(
    records: list[Record], sample_data: Path, graph_url: str, *, mixed: bool
) -> None:
    counted = graph_of(sample_data / "discogs")
    order = dice(1).sample(records, len(records)) if mixed else records
    sink = worker.sink(worker, Settings())
    assert isinstance(sink, GraphSink)
    await sink.open(Endpoint("graph", graph_url))
    try:
        await sink.prepare()
        first = [outcome for batch in batches(order, 500) for outcome in await sink.write(batch)]
        counters = sink.counters.copy()
        second = [outcome for batch in batches(order, 500) for outcome in await sink.write(batch)]
    finally:
        await sink.close()
    assert (first, second) == ([WRITTEN] * len(order), [DUPLICATE] * len(order))
    assert sink.counters == counters
    async with connect(graph_url) as driver:
        store = Store(driver)
        graph = await store.graph()
        assert graph.nodes == counted.nodes
        assert graph.edges.keys() == counted.edges
        await store.holds(PATTERN, [record.row for record in records])
