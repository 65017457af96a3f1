"""Every metric a worker has, in one list. Names and labels are public: changing one is a breaking change.

No identifier of a message, record or key is ever a label.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, SummaryMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from prometheus_client import Metric

    from penstock.pools import PoolState, PoolWatch, ServerState
    from penstock.spill import Spill

#: Seconds; from a quick statement to the write time limit.
WRITE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
#: Records.
BATCH_RECORDS = (1, 2, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000)

#: The value of penstock_breaker_state for each state.
BREAKER_STATES = {"closed": 0, "half_open": 1, "open": 2}

#: Why a consumer is cancelled, or, for memory, not read: the values of the label `reason` of penstock_paused.
PauseReason = Literal["dead_letter", "drain", "fuse", "memory", "reload", "sink", "spill", "starting", "stopping"]


class Metrics:
    """The metrics of one worker, in a registry of their own; every sample is labelled with the worker's name.

    Those of the process itself (process_*, on Linux) are not: there is one worker in it.
    """

    def __init__(self, worker: str) -> None:
        self.registry = CollectorRegistry()
        self.worker = worker
        ProcessCollector(registry=self.registry)

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
        for settlement in ("ack", "dead_letter", "retry"):
            self._settled.labels(worker, settlement)  # a rate needs the 0 that comes first
        self._outcomes = counter("outcomes_total", "Outcomes of records", "outcome")
        self._dead_lettered = counter("dead_lettered_total", "Letters confirmed in the DLQ", "reason")
        self.duplicates = counter("duplicates_skipped_total", "Records the sink already held").labels(worker)
        self.suspects = counter("suspects_total", "Deliveries that came back often, tried alone").labels(worker)
        self.stale = counter("stale_settlements_total", "Settlements not sent: their channel is gone").labels(worker)

        # The write path.
        self.batch_size = histogram("batch_size", "Records per write", BATCH_RECORDS)
        self.write_seconds = histogram("sink_write_seconds", "Seconds per successful write", WRITE_SECONDS)
        self._write_errors = counter("sink_errors_total", "Failed writes", "kind")
        self.last_write = gauge("last_write_timestamp_seconds", "When the sink last took a batch").labels(worker)

        # State.
        self._breaker_state = gauge("breaker_state", "0 closed, 1 half-open, 2 open", "endpoint")
        self._breaker_opened = counter("breaker_opened_total", "Times the breaker opened", "endpoint")
        self._outages = counter("outages_total", "Outages begun", "endpoint")
        self._flaps = counter("outage_flaps_total", "Outages begun soon after the end of the last", "endpoint")
        self._outage_seconds = counter("outage_seconds_total", "Seconds of the outages that have ended", "endpoint")
        self._outage_age = gauge("outage_age_seconds", "How long the present outage lasts, 0 without one", "endpoint")
        self._endpoint_active = gauge("endpoint_active", "1 for the endpoint in use", "endpoint")
        self._failovers = counter("failovers_total", "Times the writes went over to an endpoint", "endpoint")
        self._good_probes = gauge("good_probes", "Good probes in a row of an endpoint not in use", "endpoint")
        self.reconciled = counter("reconciled_records_total", "Records brought to the primary").labels(worker)
        self.fuse_blown = gauge("fuse_blown", "1 while the fuse pauses the worker").labels(worker)
        self.consuming = gauge("consuming", "1 while the broker sends deliveries").labels(worker)
        self._pauses = counter("pauses_total", "Times the worker stopped taking from its queue", "reason")
        self._paused = gauge("paused", "1 while nothing is taken from the queue for this reason", "reason")
        self._connections = counter("broker_connections_total", "Connections opened to consume", "broker")
        self.broker_blocked = gauge("broker_blocked", "1 while the broker takes no messages").labels(worker)
        self.generation = gauge("channel_generation", "Channels opened so far").labels(worker)
        self.held_messages = gauge("held_messages", "Deliveries held, not settled").labels(worker)
        self.held_bytes = gauge("held_bytes", "Bytes of bodies held").labels(worker)
        self.queue_depth = gauge("queue_depth", "Messages ready in the queue when last asked").labels(worker)
        self.letters = gauge("dead_letter_queue_depth", "Letters in the DLQ when last asked").labels(worker)
        self._oldest_age = gauge(
            "oldest_held_age_seconds", "Since the oldest delivery held was published; NaN: unknown"
        )
        self.consumer_rebuilt = counter("consumer_rebuilt_total", "Times the watchdog rebuilt it").labels(worker)

        # The spill.
        self.spilled = counter("spilled_total", "Records that went to the spill").labels(worker)
        self.spill_drained = counter("spill_drained_total", "Records of the spill written and settled").labels(worker)
        self._spill_records = gauge("spill_records", "Records in the spill").labels(worker)
        self._spill_bytes = gauge("spill_bytes", "Bytes of the records in the spill").labels(worker)
        self._spill_age = gauge("spill_oldest_age_seconds", "How long its oldest record waits").labels(worker)
        self._spill_damaged = gauge("spill_damaged", "Records kept aside: their checksum does not fit").labels(worker)

    def holds(self, messages: int, size: int) -> None:
        """Show how many deliveries are held, and the bytes of their bodies."""
        self.held_messages.set(messages)
        self.held_bytes.set(size)

    def connected(self, broker: str) -> None:
        """Count a connection to consume from the broker at "host:port"."""
        self._connections.labels(self.worker, broker).inc()

    def settled(self, settlement: str, amount: int = 1) -> None:
        """Count deliveries settled: `ack`, `dead_letter` or `retry`."""
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

    def outage_age(self, endpoint: str, seconds: Callable[[], float]) -> None:
        """Show an endpoint's outages: `seconds` tells how long the present one has lasted, 0 without one."""
        self._outages.labels(self.worker, endpoint)
        self._flaps.labels(self.worker, endpoint)
        self._outage_seconds.labels(self.worker, endpoint)
        self._outage_age.labels(self.worker, endpoint).set_function(seconds)

    def outage_began(self, endpoint: str, *, flap: bool) -> None:
        """Count an outage of an endpoint, and whether it is a flap."""
        self._outages.labels(self.worker, endpoint).inc()
        self._flaps.labels(self.worker, endpoint).inc(int(flap))

    def outage_ended(self, endpoint: str, seconds: float) -> None:
        """Add the length of an outage that has ended."""
        self._outage_seconds.labels(self.worker, endpoint).inc(seconds)

    def endpoint_active(self, endpoint: str, *, active: bool) -> None:
        """Show which endpoint takes the writes."""
        self._endpoint_active.labels(self.worker, endpoint).set(int(active))

    def endpoint(self, endpoint: str) -> None:
        """Show an endpoint from now on, before anything has happened to it."""
        self._endpoint_active.labels(self.worker, endpoint)
        self._failovers.labels(self.worker, endpoint)
        self._good_probes.labels(self.worker, endpoint)

    def failed_over(self, endpoint: str) -> None:
        """Count that an endpoint became the active one in place of another."""
        self._failovers.labels(self.worker, endpoint).inc()

    def good_probes(self, endpoint: str, amount: int) -> None:
        """Show how many good probes in a row an endpoint has answered."""
        self._good_probes.labels(self.worker, endpoint).set(amount)

    def pools(self, watches: Sequence[PoolWatch]) -> None:
        """Show each endpoint's pool and server, as they are when somebody asks."""
        self.registry.register(_Pools(self.worker, watches))

    def spill(self, spill: Spill) -> None:
        """Show what is in a spill, as it is when somebody asks."""
        self._spill_records.set_function(lambda: spill.state.pending.records)
        self._spill_bytes.set_function(lambda: spill.state.pending.byte_size)
        self._spill_age.set_function(lambda: spill.oldest_age)
        self._spill_damaged.set_function(lambda: spill.state.damaged.records)

    def paused(self, reason: PauseReason) -> None:
        """Count a pause of the consumer."""
        self._pauses.labels(self.worker, reason).inc()

    def pauses(self, present: Callable[[PauseReason], bool]) -> None:
        """Show for which reasons nothing is taken from the queue: those `present` when somebody asks."""
        for reason in get_args(PauseReason):
            self._paused.labels(self.worker, reason).set_function(partial(present, reason))

    def oldest_age(self, seconds: Callable[[], float | None]) -> None:
        """Show how long ago the oldest delivery held was published; None where none is held, or nobody said when."""
        self._oldest_age.labels(self.worker).set_function(lambda: math.nan if (age := seconds()) is None else age)

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


class _Pools(Collector):
    """Asks for the numbers of the pools when they are scraped: each metric once, with the samples of all endpoints."""

    def __init__(self, worker: str, watches: Sequence[PoolWatch]) -> None:
        self._each = [_Pool(worker, watch) for watch in watches]

    def collect(self) -> Iterable[Metric]:
        """Every metric of the pools and of their servers."""
        found: dict[str, Metric] = {}
        for pool in self._each:
            for family in pool.metrics():
                if (known := found.setdefault(family.name, family)) is not family:
                    known.samples += family.samples
        return found.values()


class _Pool:
    """The metrics of one endpoint; what is not known has no sample."""

    def __init__(self, worker: str, watch: PoolWatch) -> None:
        self._labels = {"worker": worker, "endpoint": watch.endpoint}
        self._watch = watch

    def metrics(self) -> Iterator[Metric]:
        """Those of its pool and of its server."""
        if (pool := self._watch.pool) is not None:
            yield from self._of_pool(pool)
        if (server := self._watch.server) is not None:
            yield from self._of_server(server)

    def _of_pool(self, pool: PoolState) -> Iterator[Metric]:
        found = {"open": pool.open, "idle": pool.idle, "in_use": pool.in_use, "waiting": pool.waiting}
        text = "Connections open, of these idle and in use; users waiting for one"
        yield self._gauge("pool_connections", text, "state", found)
        yield self._gauge("pool_limit", "Connections the pool may have", "", {"": pool.limit})
        age = {"": pool.oldest_seconds}
        yield self._gauge("pool_oldest_connection_seconds", "Age of the pool's oldest connection", "", age)
        acquired = SummaryMetricFamily(
            "penstock_pool_acquire_seconds", "Waits for a connection", labels=[*self._labels]
        )
        acquired.add_metric([*self._labels.values()], pool.lent, pool.acquire_seconds)
        yield acquired
        waits = CounterMetricFamily("penstock_pool_waits", "Waits because all were in use", labels=[*self._labels])
        waits.add_metric([*self._labels.values()], pool.waits)
        yield waits

    def _of_server(self, server: ServerState) -> Iterator[Metric]:
        yield self._gauge("server_read_seconds", "Seconds the last read took", "", {"": server.read_seconds})
        text = "Clients' connections to the server"
        yield self._gauge("server_connections", text, "application", server.connections)
        yield self._gauge("server_connections_limit", "Connections the server allows", "", {"": server.limit})
        text = "Share of the server's connections in use, 0 to 1"
        yield self._gauge("server_connections_share", text, "", {"": server.share})
        lag = {name: standby.seconds for name, standby in server.standbys.items()}
        yield self._gauge("replication_lag_seconds", "How far a standby's replay is behind", "standby", lag)
        size = {name: standby.byte_size for name, standby in server.standbys.items()}
        yield self._gauge("replication_lag_bytes", "Log that a standby has yet to replay", "standby", size)

    def _gauge(self, name: str, text: str, label: str, values: Mapping[str, float | None]) -> GaugeMetricFamily:
        """One gauge, with a sample for each value that is known, by a label of its own or by none ("")."""
        labels = [*self._labels, label] if label else [*self._labels]
        family = GaugeMetricFamily(f"penstock_{name}", text, labels=labels)
        for key, value in values.items():
            if value is not None:
                family.add_metric([*self._labels.values(), key][: len(labels)], value)
        return family
