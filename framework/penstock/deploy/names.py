"""How resources are called and labelled."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from penstock.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from penstock.deploy.placement import Deployed

#: A resource, as YAML and JSON hold it.
Manifest = dict[str, Any]

#: The name of a worker's container, which KEDA looks for.
CONTAINER = "worker"
#: What the pods of a worker are, beside those of its CronJob.
WORKER = "worker"
LEDGER_PRUNE = "ledger-prune"

#: A CronJob adds eleven characters to its own name, which has `-ledger-prune` at its end; 63 is the limit.
_LONGEST = 63 - 11 - len(f"-{LEDGER_PRUNE}")


def resource_name(deployed: Deployed) -> str:
    """The worker's name as Kubernetes takes it: `shop_Orders` is shop-orders. Raises UsageError where none is left."""
    name = re.sub(r"[^a-z0-9]+", "-", deployed.worker.name.lower()).strip("-")
    if not name or len(name) > _LONGEST:
        text = f"has no name for Kubernetes: it takes letters, digits and -, at most {_LONGEST} of them"
        raise UsageError(f"worker {deployed.worker.name} {text}")
    return name


def selector(deployed: Deployed, component: str | None = WORKER) -> dict[str, str]:
    """Labels that only this worker's pods have: those of one component, or of all (None)."""
    found = {"app.kubernetes.io/name": "penstock", "app.kubernetes.io/instance": resource_name(deployed)}
    return found | ({"app.kubernetes.io/component": component} if component else {})


def metadata(
    deployed: Deployed, *, name: str = "", component: str = WORKER, annotations: Mapping[str, str] | None = None
) -> Manifest:
    """The metadata of a resource; it is called like the worker unless `name` says otherwise."""
    return {
        "name": name or resource_name(deployed),
        "namespace": deployed.placement.namespace,
        "labels": selector(deployed, component),
        **({"annotations": dict(annotations)} if annotations else {}),
    }
