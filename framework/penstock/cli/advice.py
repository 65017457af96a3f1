"""Settings that are valid and yet hardly meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.addresses import split_host
from penstock.settings_environment import not_read

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from penstock.settings import RabbitMQ, Settings

#: After this long RabbitMQ takes a delivery back that is not settled, in seconds (consumer_timeout's default).
_CONSUMER_TIMEOUT = 1800
_LOCAL = ("localhost", "127.0.0.1", "[::1]")


def advice(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting that is worth a second look."""
    batch, limits = settings.batch, settings.limits
    if "prefetch" in settings.queue.model_fields_set and settings.queue.prefetch < 2 * batch.count:
        text = f"queue.prefetch ({settings.queue.prefetch}) is below twice batch.count ({batch.count})"
        yield f"{text} and will be raised to {2 * batch.count}"
    if batch.byte_size > limits.held_bytes:
        yield f"batch.byte_size ({batch.byte_size}) is above limits.held_bytes ({limits.held_bytes})"
    if limits.hold_seconds >= _CONSUMER_TIMEOUT:
        text = f"limits.hold_seconds ({limits.hold_seconds:g}) is not below RabbitMQ's consumer_timeout"
        yield f"{text} ({_CONSUMER_TIMEOUT} s unless you changed it), which closes the channel"
    asked = {"write_timeout"} & settings.retry.model_fields_set or {"drain_seconds"} & limits.model_fields_set
    if asked and settings.retry.write_timeout > limits.drain_seconds:
        text = f"retry.write_timeout ({settings.retry.write_timeout:g}) is above limits.drain_seconds"
        yield f"{text} ({limits.drain_seconds:g}): a write that hangs is cut off when the worker stops"
    yield from _ignored(settings)
    yield from _public_login(settings.rabbitmq)


def advice_on_variables(settings: Settings, environ: Mapping[str, str]) -> Iterator[str]:
    """Yield a line for each variable that is not read and looks as if it was meant to set what nothing else sets."""
    for variable in not_read(environ):
        section, key = variable.path
        if not {key, "url"} & getattr(settings, section).model_fields_set:
            yield f"{variable.name} is not read; did you mean {variable.meant}?"


def _ignored(settings: Settings) -> Iterator[str]:
    for name in ("rabbitmq", "postgres", "neo4j"):
        section = getattr(settings, name)
        parts = {"host", "port", "username", "password", "database", "virtual_host", "tls"}
        for part in sorted(parts & section.model_fields_set):
            if section.url is not None:
                yield f"{name}.{part} is ignored, because {name}.url is set"


def _public_login(rabbitmq: RabbitMQ) -> Iterator[str]:
    hosts = [split_host(host, rabbitmq.port)[0] for host in rabbitmq.host.split(",")]
    far = [host for host in hosts if host not in _LOCAL]
    if rabbitmq.url is None and far and rabbitmq.password.get_secret_value() == "guest":
        yield f"rabbitmq.password is the default, which RabbitMQ takes from its own host only, not for {far[0]}"
