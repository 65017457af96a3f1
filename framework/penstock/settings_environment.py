"""Settings out of the environment: the conventional names, PENSTOCK_SECTION__KEY, and *_FILE for secrets."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import SettingsError
from penstock.settings_values import Given, Setting, SettingPath
from penstock.spelling import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

#: Names that are no settings: where the file and the stack are, and what the tests and later processes look at.
_OTHERS = re.compile(r"PENSTOCK_(CONFIG|STACK|TEST_.*|REQUIRE_SERVICES|SAMPLE_DATA|CACHE)")
#: What Kubernetes and Docker set in every container beside a service of that name, as RABBITMQ_PORT=tcp://10.0.0.1:5672.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)")
_SERVICE_LINK_PORT = re.compile(r"(tcp|udp|sctp)://.*")

_CONVENTIONAL: dict[str, SettingPath] = {
    **{
        f"{section.upper()}_{key.upper()}": (section, key)
        for section in ("rabbitmq", "postgres", "neo4j")
        for key in ("host", "port", "username", "password", "database", "url")
        if (section, key) != ("rabbitmq", "database")
    },
    **{
        f"{section.upper()}_{key.upper()}": (section, key)
        for section in ("postgres", "neo4j")
        for key in ("backup_url", "regions")
    },
    "RABBITMQ_VHOST": ("rabbitmq", "virtual_host"),
    "RABBITMQ_VIRTUAL_HOST": ("rabbitmq", "virtual_host"),
    "RABBITMQ_TLS": ("rabbitmq", "tls"),
    "POSTGRES_TLS": ("postgres", "tls"),
    "POSTGRES_TLS_CA": ("postgres", "tls_ca"),
    "RABBITMQ_TLS_CA": ("rabbitmq", "tls_ca"),
    "RABBITMQ_TLS_CERT": ("rabbitmq", "tls_cert"),
    "RABBITMQ_TLS_KEY": ("rabbitmq", "tls_key"),
    "TRANSACTION_RETRY_ATTEMPTS": ("transaction", "retry_attempts"),
    "TRANSACTION_RETRY_DELAY": ("transaction", "retry_delay"),
    "PENSTOCK_REGION": ("failover", "region"),
    "LOG_LEVEL": ("log", "level"),
    "LOG_FORMAT": ("log", "format"),
}
#: Conventional names by their system, as {"RABBITMQ": {"HOST", "PORT", …}, …}.
_KEYS = {
    system: {name.removeprefix(f"{system}_") for name in _CONVENTIONAL if name.startswith(f"{system}_")}
    for system in ("RABBITMQ", "POSTGRES", "NEO4J")
}
#: What other programs and the servers' own images call our settings; too unlike ours to be found by likeness.
_ELSEWHERE = {
    "USER": "USERNAME",
    "DB": "DATABASE",
    "DBNAME": "DATABASE",
    "PASS": "PASSWORD",
    "URI": "URL",
    "SSL": "TLS",
}
#: A slip of the pen changes no more than so many letters in length.
_LENGTH = 2


@dataclass(frozen=True, slots=True)
class NotRead:
    """A variable that sets nothing, and the variable and setting that were perhaps meant."""

    name: str
    meant: str
    path: SettingPath


def variable_of(path: SettingPath) -> str:
    """Return the variable that sets a setting: the conventional name where there is one."""
    own = "PENSTOCK_{}__{}".format(*path).upper()
    return next((name for name, conventional in _CONVENTIONAL.items() if conventional == path), own)


def config_file(config: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the file that was asked for, by argument or by environment."""
    return config or (Path(environ["PENSTOCK_CONFIG"]) if environ.get("PENSTOCK_CONFIG") else None)


def read_environment(known: Mapping[SettingPath, Setting], environ: Mapping[str, str]) -> dict[SettingPath, Given]:
    """Return what the environment sets; an empty variable sets nothing.

    Raises SettingsError for an unknown variable that begins with PENSTOCK_, and for a secret's file
    that cannot be read.
    """
    own = {f"PENSTOCK_{section.upper()}__{key.upper()}": (section, key) for section, key in known}
    # In this order, so that the name that can mean nothing else wins.
    variables = _CONVENTIONAL | own
    files = {f"{name}_FILE": name for name, path in variables.items() if known[path].secret}
    _refuse_unknown(environ, [*variables, *(name for name in files if name.startswith("PENSTOCK_"))])
    texts = {name: Given(text, name) for name in variables if (text := environ.get(name)) and not _is_link(name, text)}
    for file_variable, name in files.items():
        if path := environ.get(file_variable):
            if name in texts:
                raise SettingsError(f"{name} and {file_variable} are both set: unset one of them")
            texts[name] = Given(_secret_in(Path(path), file_variable), file_variable)
    return {path: texts[name] for name, path in variables.items() if name in texts}


def not_read(environ: Mapping[str, str]) -> Iterator[NotRead]:
    """Yield each variable beside the conventional ones (RABBITMQ_HSOT, POSTGRES_USER) that is like one of them.

    They are not refused: the servers' own variables begin with the same words.
    """
    for name, text in environ.items():
        system, _, key = name.upper().partition("_")
        keys = _KEYS.get(system)
        if keys and text and not _is_link(name, text) and (meant := _meant(name, key, system, keys)):
            yield NotRead(name, meant, _CONVENTIONAL[meant.removesuffix("_FILE")])


def _meant(name: str, key: str, system: str, keys: Collection[str]) -> str:
    """Return the variable that `name` may have been meant for; nothing where it is one, or is like none."""
    end = "_FILE" if key.endswith("_FILE") else ""
    possible = {"PASSWORD", "URL", "BACKUP_URL"}.intersection(keys) if end else keys
    stem = key.removesuffix("_FILE")
    known = _ELSEWHERE.get(stem, stem)
    best = (
        known if known in possible else nearest(stem, [one for one in possible if abs(len(one) - len(stem)) <= _LENGTH])
    )
    meant = f"{system}_{best}{end}"
    return meant if best and meant != name else ""


def _refuse_unknown(environ: Mapping[str, str], own: list[str]) -> None:
    for name, text in environ.items():
        ours = name.upper().startswith("PENSTOCK_") and name not in own
        if ours and not _OTHERS.fullmatch(name) and not _is_link(name, text):
            raise SettingsError(f"{name}: there is no such setting{did_you_mean(name, own) or '; unset it'}")


def _is_link(name: str, text: str) -> bool:
    return bool(_SERVICE_LINK.fullmatch(name) or (name.endswith("_PORT") and _SERVICE_LINK_PORT.fullmatch(text)))


def _secret_in(path: Path, variable: str) -> str:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{variable}: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise SettingsError(f"{variable}: {path} is not UTF-8 text") from None
    secret = text.rstrip("\r\n")
    if not secret:
        raise SettingsError(f"{variable}: {path} is empty")
    return secret
