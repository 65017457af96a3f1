"""The pods of a worker: what they run, may take, and may do. They fit the Pod Security Standard `restricted`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from penstock.deploy.environment import SECRETS, checksum, secret_keys
from penstock.deploy.names import CONTAINER, LEDGER_PRUNE, WORKER, resource_name, selector

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed

#: The user and group of the processes: that of the image, though any but root will do.
USER = 10001
_MEBIBYTE = 1024 * 1024


def worker_pod(deployed: Deployed, mounts: Mapping[str, str]) -> Manifest:
    """The template of a worker's pods. `mounts`: where its volumes are mounted, by their names."""
    pod = _pod(deployed, WORKER, ["run", deployed.worker.name], _worker_resources(deployed))
    [container] = pod["spec"]["containers"]
    container["ports"] = [{"name": "http", "containerPort": deployed.port}]
    container |= {
        # Imports take their time on a busy node.
        "startupProbe": _probe("/livez", every=2, failures=30),
        # Outages keep it alive; a minute of a loop that stands does not.
        "livenessProbe": _probe("/livez", every=10, failures=6),
        "readinessProbe": _probe("/readyz", every=10, failures=3),
    }
    container["volumeMounts"] += [{"name": name, "mountPath": path} for name, path in mounts.items()]
    pod["spec"] |= {
        "terminationGracePeriodSeconds": deployed.grace_seconds,
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": key,
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": selector(deployed)},
            }
            for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
        ],
    }
    pod["metadata"]["annotations"] = {"penstock/config": checksum(deployed)}
    return pod


def prune_pod(deployed: Deployed) -> Manifest:
    """The template of the pods that prune a worker's ledger."""
    words = ["ledger", "prune", deployed.worker.name]
    pod = _pod(deployed, LEDGER_PRUNE, words, _resources("100m", "500m", 128, 256))
    pod["spec"]["restartPolicy"] = "Never"
    return pod


def _pod(deployed: Deployed, component: str, words: list[str], resources: Manifest) -> Manifest:
    keys = list(secret_keys(deployed).values())
    container = {
        "name": CONTAINER,
        "image": deployed.placement.image,
        # After the image's own entry point, `tini -- penstock`.
        "args": words,
        "envFrom": [{"configMapRef": {"name": resource_name(deployed)}}],
        "resources": resources,
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        },
        "volumeMounts": [
            {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
            {"name": "temporary", "mountPath": "/tmp"},  # noqa: S108 a volume of the pod's own
        ],
    }
    return {
        "metadata": {"labels": selector(deployed, component)},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": USER,
                "runAsGroup": USER,
                "fsGroup": USER,
                "fsGroupChangePolicy": "OnRootMismatch",
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [container],
            "volumes": [
                {
                    "name": "secrets",
                    "secret": {
                        "secretName": deployed.placement.secret,
                        "defaultMode": 0o440,
                        "items": [{"key": key, "path": key} for key in keys],
                    },
                },
                {"name": "temporary", "emptyDir": {"sizeLimit": "64Mi"}},
            ],
        },
    }


def _worker_resources(deployed: Deployed) -> Manifest:
    """What is held is bounded by limits.held_bytes; decoded, and on its way to the sink, it is some times as much."""
    held = deployed.settings.limits.held_bytes // _MEBIBYTE
    return _resources("250m", "1500m", 256 + held, 512 + 4 * held)


def _resources(cpu: str, most_cpu: str, memory: int, most_memory: int) -> Manifest:
    """Requests and limits; memory in MiB."""
    return {
        "requests": {"cpu": cpu, "memory": f"{memory}Mi"},
        "limits": {"cpu": most_cpu, "memory": f"{most_memory}Mi"},
    }


def _probe(path: str, *, every: int, failures: int) -> Manifest:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": every,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
