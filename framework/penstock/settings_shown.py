"""What people may see of the settings, and the secrets that nobody may."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

from pydantic import SecretStr

from penstock import settings_sources
from penstock.addresses import passwords_in, without_password
from penstock.settings import RabbitMQ, Settings, backup_urls, load

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path


def effective(
    worker: str | None = None, config: Path | None = None, environ: Mapping[str, str] = os.environ
) -> Iterator[tuple[str, str, str]]:
    """Yield section.key, value and origin of every setting, without passwords. Reads and raises as `load` does."""
    settings = load(worker, config, environ)
    origins = settings_sources.origins(Settings, worker, config, environ)
    for section in Settings.model_fields:
        for key, value in getattr(settings, section):
            yield f"{section}.{key}", _shown(key, value), origins.get((section, key), "default")


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
            urls = value.get_secret_value().split() if key in {"url", "backup_url"} else []
            return " ".join(map(describe, urls)) or "***"
        case bool():
            return str(value).lower()
        case _:
            return str(value)


def _secrets(settings: Settings) -> Iterator[str]:
    for section in (settings.rabbitmq, settings.postgres, settings.neo4j):
        found = [section.password.get_secret_value()]
        if section.url is not None:
            found += passwords_in(section.url.get_secret_value())
        if not isinstance(section, RabbitMQ):
            found += [password for url in backup_urls(section) for password in passwords_in(url)]
        # The defaults are in the documentation; to hide "guest" would only blur what people read.
        default = type(section)().password.get_secret_value()
        yield from (password for password in found if password != default)


def _forms(secret: str) -> set[str]:
    return {secret, quote(secret), quote(secret, safe=""), quote_plus(secret), repr(secret)[1:-1], ascii(secret)[1:-1]}
