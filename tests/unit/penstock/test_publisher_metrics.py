"""What a program that publishes shows to Prometheus. Names and labels are public."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest

import penstock.publisher
from penstock.publisher import Publisher
from penstock.publisher_metrics import PublisherMetrics
from penstock.settings import OutboxSettings, Settings
from support.clock import ManualClock
from support.memory_broker import MemoryBroker

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def shown(registry: CollectorRegistry) -> dict[str, float]:
    lines = generate_latest(registry).decode().splitlines()
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


async def test_each_metric_follows_the_publisher(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broker, clock, registry = MemoryBroker(), ManualClock(), CollectorRegistry()
    monkeypatch.setattr(penstock.publisher, "Sender", broker.sender)
    settings = Settings(outbox=OutboxSettings(path=str(tmp_path / "outbox.sqlite")))
    async with Publisher(settings, name="shop", clock=clock) as publisher:
        registry.register(PublisherMetrics(publisher))
        await publisher.publish("shop", "order", b"{}")
        broker.blockage.begin("connection", "low on memory")
        await publisher.publish("shop", "order", b"{}")
        clock.time += 5
        found = shown(registry)
        size = found.pop('penstock_outbox_bytes{publisher="shop"}')
        assert found == {
            'penstock_outbox_records{publisher="shop",state="pending"}': 1,
            'penstock_outbox_records{publisher="shop",state="failed"}': 0,
            'penstock_outbox_oldest_age_seconds{publisher="shop"}': 5,
            'penstock_publisher_blocked{publisher="shop"}': 1,
            'penstock_publisher_confirmed_total{publisher="shop"}': 1,
        }
        assert size == publisher.stats().byte_size > 0
        broker.refused.add("order")
        broker.blockage.end("connection")
        await publisher.flush()
        found = shown(registry)
        assert found['penstock_outbox_records{publisher="shop",state="pending"}'] == 0
        assert found['penstock_outbox_records{publisher="shop",state="failed"}'] == 1
        assert found['penstock_outbox_oldest_age_seconds{publisher="shop"}'] == 0
        assert found['penstock_publisher_blocked{publisher="shop"}'] == 0


async def test_a_publisher_without_an_outbox_shows_an_empty_one(monkeypatch: pytest.MonkeyPatch) -> None:
    broker, registry = MemoryBroker(), CollectorRegistry()
    monkeypatch.setattr(penstock.publisher, "Sender", broker.sender)
    async with Publisher(Settings(), clock=ManualClock()) as publisher:
        registry.register(PublisherMetrics(publisher))
        await publisher.publish("shop", "order", b"{}")
        found = shown(registry)
    assert found.pop('penstock_publisher_confirmed_total{publisher="publisher"}') == 1
    assert set(found.values()) == {0}
