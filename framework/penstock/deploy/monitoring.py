"""How Prometheus finds a worker's pods, and the alerts."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

import yaml

from penstock.deploy.names import metadata, selector

if TYPE_CHECKING:
    from penstock.deploy.names import Manifest
    from penstock.deploy.placement import Deployed, Placement

#: The port of the Service that Prometheus's operator keeps beside the servers it runs.
_PROMETHEUS_PORT = 9090


def prometheus_address(placement: Placement) -> str:
    """Where Prometheus answers, as its operator has it."""
    return f"http://prometheus-operated.{placement.monitoring}.svc:{_PROMETHEUS_PORT}"


def service(deployed: Deployed) -> Manifest:
    """A headless Service: nobody calls workers but Prometheus, and it wants those that are not ready as well."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(deployed),
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": selector(deployed),
            "ports": [{"name": "http", "port": deployed.port, "targetPort": "http"}],
        },
    }


def service_monitor(deployed: Deployed) -> Manifest:
    """honorLabels keeps our label `endpoint` (a server of the sink) from giving way to the operator's own."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata(deployed),
        "spec": {
            "jobLabel": "app.kubernetes.io/name",
            "selector": {"matchLabels": selector(deployed)},
            "endpoints": [{"port": "http", "path": "/metrics", "interval": "15s", "honorLabels": True}],
        },
    }


def prometheus_rule(placement: Placement) -> Manifest:
    """The alerts of all workers, as alerts.yml has them."""
    rules = yaml.safe_load(files(__package__).joinpath("alerts.yml").read_text(encoding="utf-8"))
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {
            "name": "penstock",
            "namespace": placement.namespace,
            "labels": {"app.kubernetes.io/name": "penstock"},
        },
        "spec": {"groups": rules["groups"]},
    }
