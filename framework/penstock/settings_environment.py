"""Settings out of the environment: the conventional names, PENSTOCK_SECTION__KEY, and *_FILE for secrets."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from penstock.errors import SettingsError
from penstock.settings_values import Given, Setting, SettingPath
from penstock.spelling import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Names that are no settings: where the file is, and what the tests and later processes look at.
_OTHERS = re.compile(r"PENSTOCK_(CONFIG|TEST_.*|REQUIRE_SERVICES|SAMPLE_DATA|CACHE|REGION)")
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
    "RABBITMQ_VHOST": ("rabbitmq", "virtual_host"),
    "LOG_LEVEL": ("log", "level"),
    "LOG_FORMAT": ("log", "format"),
}


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
    _refuse_unknown(environ, [*own, *(name for name in files if name.startswith("PENSTOCK_"))])
    texts = {name: Given(text, name) for name in variables if (text := environ.get(name)) and not _is_link(name, text)}
    for file_variable, name in files.items():
        if path := environ.get(file_variable):
            if name in texts:
                raise SettingsError(f"{name} and {file_variable} are both set: unset one of them")
            texts[name] = Given(_secret_in(Path(path), file_variable), file_variable)
    return {path: texts[name] for name, path in variables.items() if name in texts}


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
