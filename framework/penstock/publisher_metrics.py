"""The metrics of a `penstock.Publisher`, for the registry of the program that it runs in.

REGISTRY.register(PublisherMetrics(publisher))
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from prometheus_client import Metric

    from penstock.publisher import Publisher


class PublisherMetrics(Collector):
    """Asks a publisher for its numbers when they are scraped, from any thread; all are labelled with its name.

    Names and labels are public: changing one is a breaking change.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    def collect(self) -> Iterable[Metric]:
        """Every metric of the publisher."""
        stats = self._publisher.stats()
        kept = {"pending": stats.pending, "failed": stats.failed}
        yield self._gauge("outbox_records", "Messages in the outbox: that wait, that the broker refused", kept)
        yield self._gauge("outbox_bytes", "Bytes of all messages in the outbox", {"": stats.byte_size})
        age = {"": stats.oldest_age}
        yield self._gauge("outbox_oldest_age_seconds", "How long the first message that waits has waited", age)
        blocked = {"": int(stats.blocked)}
        yield self._gauge("publisher_blocked", "1 while the broker takes no messages (memory or disk alarm)", blocked)
        confirmed = CounterMetricFamily(
            "penstock_publisher_confirmed", "Messages that the broker has confirmed", labels=["publisher"]
        )
        confirmed.add_metric([self._publisher.name], stats.confirmed)
        yield confirmed

    def _gauge(self, name: str, text: str, found: Mapping[str, float]) -> GaugeMetricFamily:
        """A gauge; the keys of `found` are states, or one empty key."""
        states = [] if "" in found else ["state"]
        gauge = GaugeMetricFamily(f"penstock_{name}", text, labels=["publisher", *states])
        for state, value in found.items():
            gauge.add_metric([self._publisher.name, *([state] if states else [])], value)
        return gauge
