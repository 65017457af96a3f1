"""Settings: what can be set, its unit and its default. Loading is at the end of the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from penstock import broker_tls, settings_sources
from penstock.settings_types import AmqpUrl, BoltHost, BoltUrl, BoltUrls, Host, Hosts, Lower, PostgresUrl, PostgresUrls

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path


def _ordered(section: BaseModel, low: str, high: str) -> None:
    if getattr(section, low) > getattr(section, high):
        raise ValueError(f"{low} ({getattr(section, low):g}) is above {high} ({getattr(section, high):g})")


class Section(BaseModel):
    """A group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class RabbitMQ(Section):
    """The broker. `url` wins over the single parts; both may name several hosts, which are tried in turn.

    `tls_ca` is the file of the authorities whose certificates are accepted (None: the system's), `tls_cert` and
    `tls_key` are the client's own certificate and its key, which may be in one file; PEM. `fast_receive` decodes
    deliveries in Penstock, a read of the socket at a time, and `fast_publish` writes what is published there, a turn of
    the loop at a time; without them the client library does, one by one. Times in seconds.
    """

    url: AmqpUrl = None
    host: Hosts = "localhost"
    port: int = Field(5672, ge=1, le=65_535)
    username: str = "guest"
    password: SecretStr = SecretStr("guest")
    virtual_host: str = "/"
    tls: bool = False
    tls_ca: Annotated[str | None, AfterValidator(broker_tls.check_authority)] = None
    tls_cert: Annotated[str | None, AfterValidator(broker_tls.check_readable)] = None
    tls_key: Annotated[str | None, AfterValidator(broker_tls.check_readable)] = None
    heartbeat: int = Field(600, ge=0)
    connect_timeout: float = Field(10, gt=0)
    publish_timeout: float = Field(30, gt=0)
    fast_receive: bool = True
    fast_publish: bool = True

    @model_validator(mode="after")
    def _tls_agrees(self) -> Self:
        broker_tls.check_together(self)
        return self


class Postgres(Section):
    """PostgreSQL. `url` wins over the single parts. Times in seconds.

    `backup_url`: see FailoverSettings. `regions`: where the primary and each backup stand, separated by white space.
    `tls` (None: the driver's own `prefer`) and `tls_ca`, the file of the authorities whose certificates are accepted
    (PEM), hold for every address that does not itself say sslmode and sslrootcert.
    """

    url: PostgresUrl = None
    backup_url: PostgresUrls = None
    regions: str = ""
    host: Host = "localhost"
    port: int = Field(5432, ge=1, le=65_535)
    database: str = "postgres"
    username: str = "postgres"
    password: SecretStr = SecretStr("")
    tls: Annotated[Literal["disable", "prefer", "require", "verify-ca", "verify-full"] | None, Lower] = None
    tls_ca: Annotated[str | None, AfterValidator(broker_tls.check_authority)] = None
    pool_min: int = Field(2, ge=0)
    pool_max: int = Field(20, ge=1)
    connect_timeout: float = Field(10, gt=0)
    #: 0 behind a PgBouncer (< 1.21) in transaction mode.
    statement_cache_size: int = Field(100, ge=0)

    @model_validator(mode="after")
    def _settings_agree(self) -> Self:
        _ordered(self, "pool_min", "pool_max")
        _check_regions(self)
        verifies = self.tls in {"verify-ca", "verify-full"}
        if verifies and self.tls_ca is None:
            raise ValueError(f"tls is {self.tls} without tls_ca, the file of the authority that signed the certificate")
        if self.tls_ca is not None and not verifies:
            raise ValueError("tls_ca is set, and tls does not have it used: set tls to verify-full or verify-ca")
        return self


class Neo4j(Section):
    """Neo4j, or any graph that speaks Bolt and Cypher. `url` wins over the single parts. Times in seconds.

    `backup_url` and `regions`: as in Postgres.
    """

    url: BoltUrl = None
    backup_url: BoltUrls = None
    regions: str = ""
    host: BoltHost = "localhost"
    port: int = Field(7687, ge=1, le=65_535)
    database: str = "neo4j"
    username: str = "neo4j"
    password: SecretStr = SecretStr("")
    pool_size: int = Field(50, ge=1)
    connection_lifetime: float = Field(1800, gt=0)
    acquisition_timeout: float = Field(60, gt=0)
    connect_timeout: float = Field(10, gt=0)

    @model_validator(mode="after")
    def _regions_of_servers(self) -> Self:
        _check_regions(self)
        return self


def backup_urls(section: Postgres | Neo4j) -> list[str]:
    """Return the addresses of a section's backups, in order of preference, passwords included."""
    return section.backup_url.get_secret_value().split() if section.backup_url is not None else []


def _check_regions(section: Postgres | Neo4j) -> None:
    regions, servers = len(section.regions.split()), 1 + len(backup_urls(section))
    if regions not in {0, servers}:
        raise ValueError(f"regions names {regions}, it takes {servers}: the primary's and each backup's, or none")


class BatchSettings(Section):
    """When a batch is full: `count` records, `byte_size` bytes of bodies, or `period` seconds after its first.

    Batches get smaller while full ones take the sink longer than `write_seconds`, and grow again up to `count`.
    `period` None: a tenth of the seconds that the last write took, and 0.1 at most. What a file sets for all workers
    is so for each: none can go back to None.
    """

    #: Twice as many still fit into the largest prefetch.
    count: int = Field(500, ge=1, le=32_767)
    byte_size: int = Field(8 * 1024 * 1024, ge=1)
    period: float | None = Field(None, ge=0)
    write_seconds: float = Field(10, gt=0)


class QueueSettings(Section):
    """The queue, and how much of it the broker sends ahead. Prefetch is never below twice the batch."""

    topology: Literal["declare", "check", "none"] = "declare"
    delivery_limit: int = Field(1000, ge=1)
    prefetch: int = Field(2000, ge=1, le=65_535)
    #: How often the worker may die while it tries a suspect alone, before that is a dead letter.
    max_deliveries: int = Field(5, ge=1)
    #: How often the consumer is looked after, in seconds.
    watchdog: float = Field(30, gt=0)


class Limits(Section):
    """What one message may be, and what the worker may hold."""

    body_bytes: int = Field(8 * 1024 * 1024, ge=1)
    depth: int = Field(100, ge=1, le=200)
    held_bytes: int = Field(128 * 1024 * 1024, ge=1)
    #: Deliveries held longer than this in an outage go back to the queue, in seconds.
    hold_seconds: float = Field(600, gt=0)
    drain_seconds: float = Field(25, gt=0)


class BreakerSettings(Section):
    """When an endpoint counts as down, and how often it is probed (a random time between the two, in seconds)."""

    failures: int = Field(5, ge=1)
    probe_min: float = Field(30, gt=0)
    probe_max: float = Field(60, gt=0)
    #: An outage that has lasted so many seconds is warned of, and again each time it has lasted so many more.
    warn_after: float = Field(300, ge=0)
    warn_every: float = Field(900, gt=0)
    #: An outage that begins so few seconds after the last one's end is a flap.
    flap_within: float = Field(60, ge=0)

    @model_validator(mode="after")
    def _probe_in_order(self) -> Self:
        _ordered(self, "probe_min", "probe_max")
        return self


class RetrySettings(Section):
    """Delays between tries: doubled from `min` to `max` seconds, ± `jitter` of it.

    Records that may be late wait in retry queues: `later_min` seconds after the first failed attempt, then each time
    `later_factor` as long, at most `later_max`. Each delay is a queue; taken when the worker starts.
    """

    min: float = Field(0.5, gt=0)
    max: float = Field(30, gt=0)
    jitter: float = Field(0.25, ge=0, le=1)
    #: Attempts a record gets whose failure is Transient, before it is a dead letter; in place each is one turn.
    max_attempts: int = Field(8, ge=1)
    later_min: float = Field(1, ge=0.001)
    later_factor: float = Field(5, ge=2)
    later_max: float = Field(600, ge=0.001, le=604_800)
    write_timeout: float = Field(30, gt=0)

    @model_validator(mode="after")
    def _delay_in_order(self) -> Self:
        _ordered(self, "min", "max")
        _ordered(self, "later_min", "later_max")
        return self


class FailoverSettings(Section):
    """What happens when a sink's server is away and a backup is set (postgres.backup_url, neo4j.backup_url).

    `mode` replica: the backup is a synchronous standby that somebody promotes. independent: a database of its own,
    whose records are brought to the primary later. Times in seconds.
    """

    mode: Literal["replica", "independent"] | None = None
    #: Where this process runs: endpoints of the same region come first.
    region: str = ""
    #: Good probes in a row of a preferred endpoint before the writes return to it; and how often it is probed.
    return_after: int = Field(3, ge=1)
    probe_every: float = Field(5, gt=0)


class SpillSettings(Section):
    """Where a worker keeps records while all endpoints of its sink are down; full pauses it, nothing is dropped.

    `path` is a folder on a disk that outlives the process; None: no spill, the records stay in the queue.
    """

    path: str | None = None
    records: int = Field(1_000_000, ge=1)
    byte_size: int = Field(1024 * 1024 * 1024, ge=1)
    #: Seconds; no more is taken while the oldest record waits longer. Below ledger.age.
    age: float = Field(7 * 24 * 3600, gt=0)


class TransactionSettings(Section):
    """What `penstock.Publisher` does about a message that the broker refuses. Outages are not counted."""

    #: Tries of a refused message, and the seconds between them.
    retry_attempts: int = Field(3, ge=1)
    retry_delay: float = Field(1, ge=0)


class OutboxSettings(Section):
    """Where `penstock.Publisher` keeps messages while the broker is away; full is an error, nothing is dropped.

    `path` None: nowhere, and a publish fails while the broker is away. The file is for one process.
    """

    path: str | None = None
    records: int = Field(1_000_000, ge=1)
    byte_size: int = Field(1024 * 1024 * 1024, ge=1)
    #: Seconds; no more is taken while the oldest message waits longer. Below ledger.age.
    age: float = Field(7 * 24 * 3600, gt=0)


class DeadLetterSettings(Section):
    """What `penstock dlq` may do: a letter that was replayed `replays` times and came back stays, unless forced.

    `audit` is a file that gets a line of JSON before and after each change of a DLQ by hand; None: the log alone.
    """

    replays: int = Field(3, ge=1)
    audit: str | None = None


class LedgerSettings(Section):
    """How long an append sink remembers the keys of events: `penstock ledger prune` removes those that are older.

    `age` in seconds; longer than anything may wait that could be written a second time: above outbox.age, and above
    spill.age where there is a spill. A replay refuses letters that are older.
    """

    age: float = Field(30 * 24 * 3600, gt=0)


class FuseSettings(Section):
    """The worker pauses when more than `percent` of the last `window` records were refused; 100 switches it off."""

    window: int = Field(1000, ge=1)
    percent: float = Field(20, ge=0, le=100)


class Http(Section):
    """Where /livez, /readyz, /health, /metrics and /version answer. `port` None: the worker's own; 0: any free one."""

    host: str = "127.0.0.1"
    port: int | None = Field(None, ge=0, le=65_535)


class Log(Section):
    """Logs go to standard output. `format` None: text for people on a terminal, JSON elsewhere."""

    level: Annotated[Literal["debug", "info", "warning", "error"], Lower] = "info"
    format: Annotated[Literal["json", "console"] | None, Lower] = None


class Settings(Section):
    """All settings of one process."""

    rabbitmq: RabbitMQ = RabbitMQ()
    postgres: Postgres = Postgres()
    neo4j: Neo4j = Neo4j()
    batch: BatchSettings = BatchSettings()
    queue: QueueSettings = QueueSettings()
    limits: Limits = Limits()
    breaker: BreakerSettings = BreakerSettings()
    retry: RetrySettings = RetrySettings()
    failover: FailoverSettings = FailoverSettings()
    spill: SpillSettings = SpillSettings()
    transaction: TransactionSettings = TransactionSettings()
    outbox: OutboxSettings = OutboxSettings()
    dlq: DeadLetterSettings = DeadLetterSettings()
    ledger: LedgerSettings = LedgerSettings()
    fuse: FuseSettings = FuseSettings()
    http: Http = Http()
    log: Log = Log()

    @model_validator(mode="after")
    def _keys_outlive_what_waits(self) -> Self:
        # The outbox is another process's: that it is off here says nothing.
        waits = {"outbox.age": self.outbox.age, **({"spill.age": self.spill.age} if self.spill.path else {})}
        for name, seconds in waits.items():
            if self.ledger.age <= seconds:
                raise ValueError(
                    f"ledger.age ({self.ledger.age:.15g} s) is not above {name} ({seconds:.15g} s): what waits longer "
                    f"than its key is kept could be written twice. Raise ledger.age, or lower {name}"
                )
        return self


def load(worker: str | None = None, config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings anew, for one worker or for none; connects nowhere.

    The environment wins over the file (`config`, else PENSTOCK_CONFIG), whose section `workers: {NAME: …}`
    wins over the rest of it for that worker. Raises SettingsError, in one line, naming variable or file and key.
    """
    return settings_sources.read(Settings, worker, config, environ)


def workers_in_file(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the names under `workers:` in the file, if there is one. Raises SettingsError."""
    return settings_sources.workers_in_file(Settings, config, environ)
