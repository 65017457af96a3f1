"""Settings: what can be set, its unit and its default. Loading is at the end of the file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Literal, Self
from urllib.parse import quote, quote_plus

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from penstock import settings_sources
from penstock.addresses import check_host, check_url, passwords_in, split_host, with_query, without_password

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_BOLT_SCHEMES = ("bolt", "bolt+s", "bolt+ssc", "neo4j", "neo4j+s", "neo4j+ssc")


def _url(*schemes: str) -> AfterValidator:
    def check(url: SecretStr | None) -> SecretStr | None:
        if url is not None and url.get_secret_value():
            check_url(url.get_secret_value(), schemes)
            return url
        return None

    return AfterValidator(check)


def _ordered(section: BaseModel, low: str, high: str) -> None:
    if getattr(section, low) > getattr(section, high):
        raise ValueError(f"{low} ({getattr(section, low):g}) is above {high} ({getattr(section, high):g})")


#: A host name or address, with or without a port ("host", "host:5432", "[::1]:5432").
Host = Annotated[str, AfterValidator(check_host)]
#: As Host, or a whole bolt:// or neo4j:// address without a login.
BoltHost = Annotated[str, AfterValidator(lambda host: check_host(host, _BOLT_SCHEMES))]
AmqpUrl = Annotated[SecretStr | None, _url("amqp", "amqps")]
PostgresUrl = Annotated[SecretStr | None, _url("postgresql", "postgres")]
BoltUrl = Annotated[SecretStr | None, _url(*_BOLT_SCHEMES)]
#: Levels and formats may be written in capitals.
_Lower = BeforeValidator(lambda text: text.lower() if isinstance(text, str) else text)


class Section(BaseModel):
    """A group of settings; an unknown name in it is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True, allow_inf_nan=False)


class RabbitMQ(Section):
    """The broker. `url` wins over the single parts. Times in seconds."""

    url: AmqpUrl = None
    host: Host = "localhost"
    port: int = Field(5672, ge=1, le=65_535)
    username: str = "guest"
    password: SecretStr = SecretStr("guest")
    virtual_host: str = "/"
    tls: bool = False
    heartbeat: int = Field(600, ge=0)
    connect_timeout: float = Field(10, gt=0)
    publish_timeout: float = Field(30, gt=0)


class Postgres(Section):
    """PostgreSQL. `url` wins over the single parts. Times in seconds."""

    url: PostgresUrl = None
    host: Host = "localhost"
    port: int = Field(5432, ge=1, le=65_535)
    database: str = "postgres"
    username: str = "postgres"
    password: SecretStr = SecretStr("")
    pool_min: int = Field(2, ge=0)
    pool_max: int = Field(20, ge=1)
    connect_timeout: float = Field(10, gt=0)
    #: 0 behind a PgBouncer (< 1.21) in transaction mode.
    statement_cache_size: int = Field(100, ge=0)

    @model_validator(mode="after")
    def _pool_in_order(self) -> Self:
        _ordered(self, "pool_min", "pool_max")
        return self


class Neo4j(Section):
    """Neo4j, or any graph that speaks Bolt and Cypher. `url` wins over the single parts. Times in seconds."""

    url: BoltUrl = None
    host: BoltHost = "localhost"
    port: int = Field(7687, ge=1, le=65_535)
    database: str = "neo4j"
    username: str = "neo4j"
    password: SecretStr = SecretStr("")
    pool_size: int = Field(50, ge=1)
    connection_lifetime: float = Field(1800, gt=0)
    acquisition_timeout: float = Field(60, gt=0)
    connect_timeout: float = Field(10, gt=0)


class BatchSettings(Section):
    """When a batch is full: `count` records, `byte_size` bytes of bodies, or `period` seconds after its first."""

    #: Twice as many still fit into the largest prefetch.
    count: int = Field(500, ge=1, le=32_767)
    byte_size: int = Field(8 * 1024 * 1024, ge=1)
    period: float = Field(0.1, ge=0)


class QueueSettings(Section):
    """The queue, and how much of it the broker sends ahead. Prefetch is never below twice the batch."""

    topology: Literal["declare", "check", "none"] = "declare"
    delivery_limit: int = Field(1000, ge=1)
    prefetch: int = Field(1000, ge=1, le=65_535)
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
    """Delays between tries: doubled from `min` to `max` seconds, ± `jitter` of it."""

    min: float = Field(0.5, gt=0)
    max: float = Field(30, gt=0)
    jitter: float = Field(0.25, ge=0, le=1)
    #: Turns a record gets whose failure is Transient, before it is a dead letter.
    max_attempts: int = Field(8, ge=1)
    write_timeout: float = Field(30, gt=0)

    @model_validator(mode="after")
    def _delay_in_order(self) -> Self:
        _ordered(self, "min", "max")
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
    #: Seconds; no more is taken while the oldest record waits longer. Below the age at which ledgers are pruned.
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
    #: Seconds; no more is taken while the oldest message waits longer. Below the age at which ledgers are pruned.
    age: float = Field(7 * 24 * 3600, gt=0)


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

    level: Annotated[Literal["debug", "info", "warning", "error"], _Lower] = "info"
    format: Annotated[Literal["json", "console"] | None, _Lower] = None


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
    fuse: FuseSettings = FuseSettings()
    http: Http = Http()
    log: Log = Log()


def load(worker: str | None = None, config: Path | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings anew, for one worker or for none; connects nowhere.

    The environment wins over the file (`config`, else PENSTOCK_CONFIG), whose section `workers: {NAME: …}`
    wins over the rest of it for that worker. Raises SettingsError, in one line, naming variable or file and key.
    """
    return settings_sources.read(Settings, worker, config, environ)


def effective(
    worker: str | None = None, config: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str, str]]:
    """Yield section.key, value and origin of every setting, without passwords. Reads and raises as `load` does."""
    settings = load(worker, config, environ)
    origins = settings_sources.origins(Settings, worker, config, environ)
    for section in Settings.model_fields:
        for key, value in getattr(settings, section):
            yield f"{section}.{key}", _shown(key, value), origins.get((section, key), "default")


def workers_in_file(config: Path | None = None, environ: Mapping[str, str] = os.environ) -> frozenset[str]:
    """Return the names under `workers:` in the file, if there is one. Raises SettingsError."""
    return settings_sources.workers_in_file(Settings, config, environ)


def rabbitmq_url(settings: RabbitMQ) -> str:
    """Return the broker's URL for the client library, password included; print only what `describe` makes of it."""
    if settings.url is not None:
        return with_query(settings.url.get_secret_value(), "heartbeat", str(settings.heartbeat))
    usual = 5671 if settings.tls and "port" not in settings.model_fields_set else settings.port
    host, port = split_host(settings.host, usual)
    login = f"{quote(settings.username, safe='')}:{quote(settings.password.get_secret_value(), safe='')}"
    scheme = "amqps" if settings.tls else "amqp"
    virtual_host = quote(settings.virtual_host, safe="")
    return f"{scheme}://{login}@{host}:{port}/{virtual_host}?heartbeat={settings.heartbeat}"


def describe(url: str) -> str:
    """Return scheme, username, host and path of a URL: no password and no parameters, however badly it is written."""
    return without_password(url)


def secrets(settings: Settings) -> frozenset[str]:
    """Every secret that was set, as written and as it looks quoted in a URL or a repr: what logs must not hold."""
    return frozenset(form for secret in _secrets(settings) if secret for form in _forms(secret))


def _shown(key: str, value: object) -> str:
    match value:
        case None:
            return "-"
        case SecretStr() if not value.get_secret_value():
            return "-"
        case SecretStr():
            return describe(value.get_secret_value()) if key == "url" else "***"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _secrets(settings: Settings) -> Iterator[str]:
    for section in (settings.rabbitmq, settings.postgres, settings.neo4j):
        found = [section.password.get_secret_value()]
        if section.url is not None:
            found += passwords_in(section.url.get_secret_value())
        # The defaults are in the documentation; to hide "guest" would only blur what people read.
        default = type(section)().password.get_secret_value()
        yield from (password for password in found if password != default)


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], ascii(secret)[1:-1]}
