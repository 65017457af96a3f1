"""How many processes write a queue: by its depth, as far as order, connections and the sink allow (decision 0031)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from penstock.addresses import split_host
from penstock.deploy.environment import secret_keys
from penstock.deploy.monitoring import prometheus_address
from penstock.deploy.names import CONTAINER, metadata, resource_name
from penstock.deploy.workload import kind_of
from penstock.pools import SHARE_WARNED
from penstock.settings_environment import variable_of
from penstock.worker import may_be_late

if TYPE_CHECKING:
    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed

#: Replicas for a sink of which no pool is known.
_WITHOUT_POOL = 4
#: Seconds between two looks at the queue.
_LOOK_EVERY = 15
#: Seconds that a backlog, and the lack of one, must last before a process comes or goes.
_GROW_AFTER = 60
_SHRINK_AFTER = 300
#: What Kubernetes takes as the period of a policy.
_LONGEST_PERIOD = 1800
#: Ports of RabbitMQ's management API.
_MANAGEMENT = 15672
_MANAGEMENT_TLS = 15671
#: The key of the Secret with the management API's whole address, where the broker is set by a URL.
_MANAGEMENT_KEY = "rabbitmq-management-url"


class Bound(NamedTuple):
    """How many replicas there may be, and why no more."""

    replicas: int
    reason: str


class _Pool(NamedTuple):
    """A process's connections: their number, the setting of it, and how many a server allows as it is delivered."""

    size: int
    setting: str
    allowed: int


def most_replicas(deployed: Deployed) -> Bound:
    """The bound of a worker's replicas: order first, then the connections its sink grants."""
    if not may_be_late(deployed.worker):
        return Bound(1, "records without a version are written in order by one process only: give the model a version")
    pools = [_pool(deployed, system) for system in deployed.systems]
    if not pools:
        return Bound(_WITHOUT_POOL, "what its sink allows is not known: set it to that")
    [bound, *_] = sorted(_within(deployed, pool) for pool in pools)
    return bound


def scaled_object(deployed: Deployed) -> Manifest:
    """Replicas by queue depth: a process for each prefetch that waits, and none in addition while the sink is away.

    There is no `fallback`: where KEDA cannot ask broker or Prometheus, as many go on as there are.
    """
    bound = most_replicas(deployed)
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": metadata(deployed, annotations={"penstock/max-replicas": f"{bound.replicas}: {bound.reason}"}),
        "spec": {
            "scaleTargetRef": {
                "apiVersion": "apps/v1",
                "kind": kind_of(deployed),
                "name": resource_name(deployed),
                "envSourceContainerName": CONTAINER,
            },
            "minReplicaCount": 1,
            "maxReplicaCount": bound.replicas,
            "pollingInterval": _LOOK_EVERY,
            "advanced": {
                "restoreToOriginalReplicaCount": False,
                "horizontalPodAutoscalerConfig": {"behavior": _behavior(deployed)},
                "scalingModifiers": {
                    "formula": f"min(depth, allowed * {deployed.prefetch})",
                    "target": str(deployed.prefetch),
                    "metricType": "AverageValue",
                },
            },
            "triggers": [_depth(deployed), _allowed(deployed, bound)],
        },
    }


def trigger_authentication(deployed: Deployed) -> Manifest:
    """The broker's login for KEDA: the worker's own, out of its environment and the Secret."""
    secret = deployed.placement.secret
    rabbitmq = deployed.settings.rabbitmq
    spec: Manifest
    if rabbitmq.url is not None:
        spec = {"secretTargetRef": [{"parameter": "host", "name": secret, "key": _MANAGEMENT_KEY}]}
    else:
        user = {
            "parameter": "username",
            "name": variable_of(("rabbitmq", "username")),
            "containerName": CONTAINER,
        }
        key = secret_keys(deployed)["rabbitmq", "password"]
        spec = {"env": [user], "secretTargetRef": [{"parameter": "password", "name": secret, "key": key}]}
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "TriggerAuthentication",
        "metadata": metadata(deployed),
        "spec": spec,
    }


def needed_keys(deployed: Deployed) -> list[str]:
    """The keys that the Secret must have for the worker and for KEDA."""
    keys = list(secret_keys(deployed).values())
    return keys if deployed.settings.rabbitmq.url is None else [*keys, _MANAGEMENT_KEY]


def allowed_query(deployed: Deployed, most: int) -> str:
    """How many replicas the sink can take, in PromQL: those that run, and any number more while each of them can write.

    One can where the breaker of the endpoint it uses is closed and its fuse whole; one that waits for its sink at the
    start uses none. Nothing while Prometheus knows none of them; KEDA then changes nothing.
    """
    mine = f"{{namespace={json.dumps(deployed.placement.namespace)},worker={json.dumps(deployed.worker.name)}}}"
    closed = f"penstock_endpoint_active{mine} * on (pod, endpoint) (penstock_breaker_state{mine} == bool 0)"
    able = f"max by (pod) ({closed}) * on (pod) (penstock_fuse_blown{mine} == bool 0)"
    running = f"count(penstock_fuse_blown{mine})"
    return f"{running} + {most} * (sum({able}) == bool {running})"


def _within(deployed: Deployed, pool: _Pool) -> Bound:
    granted = deployed.placement.connections
    share = int(SHARE_WARNED * pool.allowed) if granted is None else granted
    origin = f"{SHARE_WARNED:.0%} of the {pool.allowed} a server usually allows" if granted is None else "--connections"
    return Bound(max(1, share // pool.size), f"{share} connections ({origin}), {pool.size} a process ({pool.setting})")


def _pool(deployed: Deployed, system: str) -> _Pool:
    match system:
        case "postgres":
            return _Pool(deployed.settings.postgres.pool_max, "postgres.pool_max", 100)
        case _:
            return _Pool(deployed.settings.neo4j.pool_size, "neo4j.pool_size", 400)


def _behavior(deployed: Deployed) -> Manifest:
    """One process at a time: the queue shows what it did before the next comes; one that goes has drained first."""
    grow = {"type": "Pods", "value": 1, "periodSeconds": _GROW_AFTER}
    apart = min(_LONGEST_PERIOD, max(_GROW_AFTER, deployed.grace_seconds))
    shrink = {"type": "Pods", "value": 1, "periodSeconds": apart}
    return {
        "scaleUp": {"stabilizationWindowSeconds": _GROW_AFTER, "policies": [grow]},
        "scaleDown": {"stabilizationWindowSeconds": _SHRINK_AFTER, "policies": [shrink]},
    }


def _depth(deployed: Deployed) -> Manifest:
    """Over HTTP, for AMQP does not tell what is out with consumers: what they hold is work still to be done."""
    rabbitmq = deployed.settings.rabbitmq
    found = {
        "protocol": "http",
        "queueName": deployed.worker.queue,
        "mode": "QueueLength",
        "value": str(deployed.prefetch),
        "excludeUnacknowledged": "false",
    }
    if rabbitmq.url is None:
        host, _ = split_host(rabbitmq.host.partition(",")[0], _MANAGEMENT)
        address = f"https://{host}:{_MANAGEMENT_TLS}" if rabbitmq.tls else f"http://{host}:{_MANAGEMENT}"
        found |= {"host": address, "vhostName": rabbitmq.virtual_host}
    return {
        "type": "rabbitmq",
        "name": "depth",
        "metadata": found,
        "authenticationRef": {"name": resource_name(deployed)},
    }


def _allowed(deployed: Deployed, bound: Bound) -> Manifest:
    return {
        "type": "prometheus",
        "name": "allowed",
        "metadata": {
            "serverAddress": prometheus_address(deployed.placement),
            "query": allowed_query(deployed, bound.replicas),
            "threshold": "1",
            # An empty answer is an error, not a nought.
            "ignoreNullValues": "false",
        },
    }
