"""Pods: bounded, confined, and given the time they need to drain."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.deploy.pod import prune_pod, worker_pod
from support.deployed import EVENTS, GRAPH, deployed

if TYPE_CHECKING:
    from penstock.deploy.names import Manifest


@pytest.mark.parametrize("pod", [worker_pod(deployed(), {}), prune_pod(deployed(EVENTS))])
def test_it_may_do_nothing_but_speak_to_servers(pod: Manifest) -> None:
    spec = pod["spec"]
    [container] = spec["containers"]
    assert not spec["automountServiceAccountToken"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert {"cpu", "memory"} == set(container["resources"]["requests"]) == set(container["resources"]["limits"])


def test_a_worker_runs_by_name_with_its_settings() -> None:
    pod = worker_pod(deployed(), {"spill": "/var/spill"})
    [container] = pod["spec"]["containers"]
    assert container["args"] == ["run", "orders"]
    assert container["envFrom"] == [{"configMapRef": {"name": "orders"}}]
    assert {"name": "spill", "mountPath": "/var/spill"} in container["volumeMounts"]
    assert prune_pod(deployed(EVENTS))["spec"]["containers"][0]["args"] == ["ledger", "prune", "events"]


def test_only_the_keys_it_needs_are_mounted() -> None:
    [secrets, _] = worker_pod(deployed(GRAPH), {})["spec"]["volumes"]
    assert [item["key"] for item in secrets["secret"]["items"]] == ["rabbitmq-password", "neo4j-password"]


def test_probes_ask_its_own_port_and_the_grace_is_above_the_drain_limit() -> None:
    pod = worker_pod(deployed(PENSTOCK_HTTP__PORT="9000", PENSTOCK_LIMITS__DRAIN_SECONDS="60"), {})
    [container] = pod["spec"]["containers"]
    probes = {name: container[name]["httpGet"] for name in ("livenessProbe", "readinessProbe", "startupProbe")}
    assert [probe["path"] for probe in probes.values()] == ["/livez", "/readyz", "/livez"]
    assert container["ports"] == [{"name": probes["livenessProbe"]["port"], "containerPort": 9000}]
    assert pod["spec"]["terminationGracePeriodSeconds"] == 70


def test_memory_follows_from_what_may_be_held() -> None:
    def limits(**variables: str) -> tuple[str, str]:
        resources = worker_pod(deployed(**variables), {})["spec"]["containers"][0]["resources"]
        return resources["requests"]["memory"], resources["limits"]["memory"]

    assert limits() == ("384Mi", "1024Mi")
    assert limits(PENSTOCK_LIMITS__HELD_BYTES=str(1024**3)) == ("1280Mi", "4608Mi")
