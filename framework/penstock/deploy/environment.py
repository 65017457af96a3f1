"""The settings of a worker as its pods get them: a ConfigMap of variables, and names of keys in a Secret."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from penstock.deploy.names import metadata
from penstock.settings import Settings
from penstock.settings_environment import variable_of
from penstock.settings_values import settings_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed
    from penstock.settings_values import SettingPath

#: Where the Secret's keys are files.
SECRETS = "/run/secrets/penstock"

#: Settings that name a file of this machine: in a pod it comes out of the Secret.
_FILES = {("rabbitmq", "tls_ca"), ("rabbitmq", "tls_cert"), ("rabbitmq", "tls_key"), ("postgres", "tls_ca")}
#: What an address says itself, so that the section's own parts are ignored.
_PARTS = {"host", "port", "username", "password", "database", "virtual_host", "tls"}
#: Said whether set or not: what whoever deploys wants to see, and to change.
_ALWAYS = {"host", "username", "password", "database"}
#: No business of a process in a pod: how people handle letters, where this machine serves and how its logs look.
_LEFT_OUT = {"dlq", "http"}
_NOT_FOR_PODS = {("log", "format")}


def config_map(deployed: Deployed) -> Manifest:
    """Every setting of a worker that somebody gave, as variables. Secrets are paths of files."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(deployed),
        "data": variables(deployed),
    }


def variables(deployed: Deployed) -> dict[str, str]:
    """The environment of its pods, by name; no secret is in it."""
    secret = secret_keys(deployed)
    found = {
        variable_of(("http", "host")): _listen_on(deployed.settings.http.host),
        variable_of(("http", "port")): str(deployed.port),
    }
    for section, key in _paths(deployed):
        variable, path = variable_of((section, key)), (section, key)
        if path in secret:
            found[variable if path in _FILES else f"{variable}_FILE"] = f"{SECRETS}/{secret[path]}"
        else:
            found[variable] = _text(getattr(getattr(deployed.settings, section), key))
    return found


def secret_keys(deployed: Deployed) -> dict[SettingPath, str]:
    """The keys that the Secret must have for a worker, by setting: `postgres-password` for postgres.password."""
    known = settings_of(Settings)
    return {
        (section, key): f"{section}-{key.replace('_', '-')}"
        for section, key in _paths(deployed)
        if known[section, key].secret or (section, key) in _FILES
    }


def checksum(deployed: Deployed) -> str:
    """Changes with the variables, so that pods are made anew when they do."""
    return hashlib.sha256(json.dumps(variables(deployed), sort_keys=True).encode()).hexdigest()[:16]


def _paths(deployed: Deployed) -> Iterator[SettingPath]:
    """What a pod is told: settings that were given, and of its servers what it cannot do without."""
    servers = {"rabbitmq", *deployed.systems}
    for section in Settings.model_fields:
        if section in _LEFT_OUT or (section in {"postgres", "neo4j"} and section not in servers):
            continue
        part = getattr(deployed.settings, section)
        wanted = part.model_fields_set | (_ALWAYS if section in servers else set())
        if section in servers and part.url is not None:
            wanted -= _PARTS
        for key in type(part).model_fields:
            if key in wanted and getattr(part, key) is not None and (section, key) not in _NOT_FOR_PODS:
                yield section, key


def _listen_on(host: str) -> str:
    """Loopback would answer neither the probes nor Prometheus."""
    return "0.0.0.0" if host in {"127.0.0.1", "localhost", "::1"} else host  # noqa: S104 the NetworkPolicy confines it


def _text(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case float():
            return repr(value).removesuffix(".0")
        case _:
            return str(value)
