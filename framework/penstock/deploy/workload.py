"""What keeps a worker's pods running: a Deployment, or a StatefulSet where they keep something on a disk."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from penstock.deploy.names import metadata, resource_name, selector
from penstock.deploy.pod import worker_pod
from penstock.errors import UsageError
from penstock.worker import may_be_late

if TYPE_CHECKING:
    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed

_MEBIBYTE = 1024 * 1024
#: Beside the records a file has indexes and a log, and what was drained leaves free pages.
_SPACE = 2


def kind_of(deployed: Deployed) -> str:
    """`StatefulSet` where a spill or an outbox is on, else `Deployment`."""
    return "StatefulSet" if _mounts(deployed) else "Deployment"


def workload(deployed: Deployed) -> Manifest:
    """The Deployment or StatefulSet. How many replicas is for the ScaledObject to say, else it is one.

    Raises UsageError for a spill or an outbox that is not at an absolute path.
    """
    mounts = _mounts(deployed)
    spec: Manifest = {
        "revisionHistoryLimit": 3,
        "selector": {"matchLabels": selector(deployed)},
        "template": worker_pod(deployed, mounts),
    }
    if mounts:
        spec |= {
            "serviceName": resource_name(deployed),
            # One that waits for its sink is not ready, and must not keep the others from starting.
            "podManagementPolicy": "Parallel" if may_be_late(deployed.worker) else "OrderedReady",
            "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
            "volumeClaimTemplates": [_claim(deployed, name) for name in mounts],
        }
    else:
        spec["strategy"] = _strategy(deployed)
    return {"apiVersion": "apps/v1", "kind": kind_of(deployed), "metadata": metadata(deployed), "spec": spec}


def disruption_budget(deployed: Deployed) -> Manifest:
    """One pod at a time may go. One that is not ready, because its sink is away, may always go: it does no work."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(deployed),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": selector(deployed)},
        },
    }


def _strategy(deployed: Deployed) -> Manifest:
    """A second writer, even for the moment of a rollout, is for records that may be written late."""
    if may_be_late(deployed.worker):
        return {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
    return {"type": "Recreate"}


def _mounts(deployed: Deployed) -> dict[str, str]:
    """Where volumes are mounted, by the names of their claims. The outbox is a file: its folder is the volume."""
    paths = {"spill": deployed.settings.spill.path, "outbox": deployed.settings.outbox.path}
    found: dict[str, str] = {}
    for name, path in paths.items():
        if path is None:
            continue
        place = PurePosixPath(path)
        mount = place if name == "spill" else place.parent
        if not place.is_absolute() or mount == PurePosixPath("/"):
            text = f"{name}.path (PENSTOCK_{name.upper()}__PATH): {path} cannot be in a volume of a pod"
            raise UsageError(f"{text}: give it an absolute path, as in /var/lib/penstock/{name}/…")
        found[name] = str(mount)
    return found


def _claim(deployed: Deployed, name: str) -> Manifest:
    size = _SPACE * getattr(deployed.settings, name).byte_size // _MEBIBYTE + 1
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "labels": selector(deployed)},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": f"{size}Mi"}}},
    }
