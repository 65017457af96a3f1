"""All manifests of some workers, and the YAML they become."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from penstock.deploy.environment import config_map
from penstock.deploy.monitoring import prometheus_rule, service, service_monitor
from penstock.deploy.names import resource_name
from penstock.deploy.network import network_policy
from penstock.deploy.pruning import prune_job
from penstock.deploy.scaling import scaled_object, trigger_authentication
from penstock.deploy.workload import disruption_budget, workload
from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed

#: The file of what all workers share.
_SHARED = "penstock.yaml"


def manifests(deployed: Deployed) -> list[Manifest]:
    """Everything one worker needs, in the order it is best made in. Raises UsageError, SettingsError."""
    found = [
        config_map(deployed),
        network_policy(deployed),
        service(deployed),
        workload(deployed),
        disruption_budget(deployed),
        trigger_authentication(deployed),
        scaled_object(deployed),
        service_monitor(deployed),
    ]
    return [*found, prune_job(deployed)] if deployed.worker.mode == "append" else found


def files_of(several: Sequence[Deployed]) -> dict[str, list[Manifest]]:
    """The manifests of one worker or more by the file they belong in: one for each, and one that all share.

    Raises UsageError where two workers would have the same resources, and as `manifests` does.
    """
    found: dict[str, list[Manifest]] = {}
    for deployed in several:
        file = f"{resource_name(deployed)}.yaml"
        if file in found or file == _SHARED:
            raise UsageError(f"worker {deployed.worker.name}: {resource_name(deployed)} is another's name already")
        found[file] = manifests(deployed)
    return {**found, _SHARED: [prometheus_rule(several[0].placement)]}


def kustomization(files: Iterable[str]) -> Manifest:
    """What makes of a folder with these files the base of overlays."""
    return {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": list(files)}


def as_yaml(documents: Iterable[Manifest]) -> str:
    """YAML that kubectl takes, each document after a line of ---."""
    return yaml.dump_all(documents, Dumper=_Dumper, explicit_start=True, sort_keys=False, width=120)


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as such, and nothing by reference: aliases are hard to read and to patch."""

    def ignore_aliases(self, _data: object) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    # What kubectl reads YAML with takes more for numbers and truths than what writes it here does: 1e3, 0o7, y.
    doubtful = len(text) == 1 or text.startswith(tuple("+-.0123456789"))
    style = "|" if "\n" in text else "'" if doubtful else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style)


_Dumper.add_representer(str, _represent_text)
