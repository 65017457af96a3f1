"""Every metric a worker has, in one list. Names and labels are public: changing one is a breaking change.

No identifier of a message, record or key is ever a label.
"""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

#: Seconds; from a quick statement to the write time limit.
WRITE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Records.
BATCH_RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)

#: The value of penstock_breaker_state for each state.
BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}


class Metrics:
    """The metrics of one worker, in a registry of their own; every sample is labelled with the worker's name."""

    def __init__(self, worker: str) -> None:
        self.registry = CollectorRegistry()
        self.worker = worker

        def counter(name: str, text: str, *labels: str) -> Counter:
            return Counter(f"penstock_{name}", text, ("worker", *labels), registry=self.registry)

        def gauge(name: str, text: str, *labels: str) -> Gauge:
            return Gauge(f"penstock_{name}", text, ("worker", *labels), registry=self.registry)

        def histogram(name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
            metric = Histogram(f"penstock_{name}", text, ("worker",), registry=self.registry, buckets=buckets)
            return metric.labels(worker)

        # What came in and what became of it.
        self.received = counter("received_messages_total", "Deliveries received").labels(worker)
        self.received_bytes = counter("received_bytes_total", "Bytes of bodies received").labels(worker)
        self._settled = counter("settled_messages_total", "Deliveries settled", "settlement")
        self._outcomes = counter("outcomes_total", "Outcomes of records", "outcome")
        self._dead_lettered = counter("dead_lettered_total", "Letters confirmed in the DLQ", "reason")
        self.duplicates = counter("duplicates_skipped_total", "Records the sink already held").labels(worker)
        self.stale = counter("stale_settlements_total", "Settlements not sent: their channel is gone").labels(worker)

        # The write path.
        self.batch_size = histogram("batch_size", "Records per write", BATCH_RECORDS)
        self.write_seconds = histogram("sink_write_seconds", "Seconds per successful write", WRITE_SECONDS)
        self._write_errors = counter("sink_errors_total", "Failed writes", "kind")
        self.last_write = gauge("last_write_timestamp_seconds", "When the sink last took a batch").labels(worker)

        # State.
        self._breaker_state = gauge("breaker_state", "0 closed, 1 half-open, 2 open", "endpoint")
        self._breaker_opened = counter("breaker_opened_total", "Times the breaker opened", "endpoint")
        self._endpoint_active = gauge("endpoint_active", "1 for the endpoint in use", "endpoint")
        self.fuse_blown = gauge("fuse_blown", "1 while the fuse pauses the worker").labels(worker)
        self.consuming = gauge("consuming", "1 while the broker sends deliveries").labels(worker)
        self._pauses = counter("pauses_total", "Times the consumer was cancelled to pause", "reason")
        self.generation = gauge("channel_generation", "Channels opened so far").labels(worker)
        self.held_messages = gauge("held_messages", "Deliveries held, not settled").labels(worker)
        self.held_bytes = gauge("held_bytes", "Bytes of bodies held").labels(worker)
        self.queue_depth = gauge("queue_depth", "Messages ready in the queue when last asked").labels(worker)
        self.consumer_rebuilt = counter("consumer_rebuilt_total", "Times the watchdog rebuilt it").labels(worker)

    def settled(self, settlement: str, amount: int = 1) -> None:
        """Count deliveries settled: `ack` or `dead_letter`."""
        self._settled.labels(self.worker, settlement).inc(amount)

    def outcome(self, outcome: str, amount: int = 1) -> None:
        """Count outcomes by the name of their class, in snake case."""
        self._outcomes.labels(self.worker, outcome).inc(amount)

    def dead_lettered(self, reason: str) -> None:
        """Count one letter confirmed in the DLQ."""
        self._dead_lettered.labels(self.worker, reason).inc()

    def write_failed(self, kind: str) -> None:
        """Count a failed write: `batch_error` or `unavailable`."""
        self._write_errors.labels(self.worker, kind).inc()

    def breaker(self, endpoint: str, state: str) -> None:
        """Show the state of an endpoint's breaker."""
        self._breaker_state.labels(self.worker, endpoint).set(BREAKER_STATES[state])

    def breaker_opened(self, endpoint: str) -> None:
        """Count an opening of an endpoint's breaker."""
        self._breaker_opened.labels(self.worker, endpoint).inc()

    def endpoint_active(self, endpoint: str, *, active: bool) -> None:
        """Show which endpoint takes the writes."""
        self._endpoint_active.labels(self.worker, endpoint).set(int(active))

    def paused(self, reason: str) -> None:
        """Count a pause of the consumer."""
        self._pauses.labels(self.worker, reason).inc()

    def summary(self) -> dict[str, int]:
        """What became of everything so far, for people: received, then each outcome, then letters."""
        found = {"received": 0, "written": 0, "duplicate": 0, "superseded": 0, "dead_lettered": 0}
        for family in self.registry.collect():
            for sample in family.samples:
                match sample.name:
                    case "penstock_received_messages_total":
                        found["received"] += int(sample.value)
                    case "penstock_outcomes_total" if sample.labels["outcome"] in found:
                        found[sample.labels["outcome"]] += int(sample.value)
                    case "penstock_dead_lettered_total":
                        found["dead_lettered"] += int(sample.value)
        return found
