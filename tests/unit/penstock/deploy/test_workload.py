"""Deployment or StatefulSet, and how pods are replaced."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.deploy.workload import disruption_budget, kind_of, workload
from penstock.errors import UsageError
from support.deployed import EVENTS, ORDERED, TABLE, deployed

if TYPE_CHECKING:
    from penstock.worker import Worker


def test_a_worker_that_keeps_nothing_is_a_deployment_without_a_number_of_replicas() -> None:
    found = workload(deployed())
    assert found["kind"] == kind_of(deployed()) == "Deployment"
    # KEDA says how many, and applying the file again must not.
    assert "replicas" not in found["spec"]


@pytest.mark.parametrize(
    ("worker", "strategy"), [(TABLE, "RollingUpdate"), (EVENTS, "RollingUpdate"), (ORDERED, "Recreate")]
)
def test_a_rollout_has_two_writers_only_where_records_may_be_late(worker: Worker, strategy: str) -> None:
    assert workload(deployed(worker))["spec"]["strategy"]["type"] == strategy


def test_a_spill_and_an_outbox_have_a_volume_each_at_their_places() -> None:
    found = workload(
        deployed(
            PENSTOCK_SPILL__PATH="/var/lib/penstock/spill",
            PENSTOCK_SPILL__BYTE_SIZE=str(100 * 1024 * 1024),
            PENSTOCK_OUTBOX__PATH="/var/lib/penstock/outbox/orders.sqlite",
        )
    )
    spec = found["spec"]
    assert (found["kind"], spec["serviceName"]) == ("StatefulSet", "orders")
    claims = {claim["metadata"]["name"]: claim["spec"]["resources"] for claim in spec["volumeClaimTemplates"]}
    assert claims == {"spill": {"requests": {"storage": "201Mi"}}, "outbox": {"requests": {"storage": "2049Mi"}}}
    mounts = {mount["name"]: mount["mountPath"] for mount in spec["template"]["spec"]["containers"][0]["volumeMounts"]}
    assert mounts.items() >= {"spill": "/var/lib/penstock/spill", "outbox": "/var/lib/penstock/outbox"}.items()
    # What is left on a disk is never deleted with the replica that wrote it.
    assert set(spec["persistentVolumeClaimRetentionPolicy"].values()) == {"Retain"}
    assert "strategy" not in spec


@pytest.mark.parametrize("path", ["spill", "~/spill", "/"])
def test_a_spill_that_no_volume_can_hold_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match=r"spill\.path \(PENSTOCK_SPILL__PATH\): .* absolute path"):
        workload(deployed(PENSTOCK_SPILL__PATH=path))


def test_a_pod_that_waits_for_its_sink_keeps_no_node_from_being_emptied() -> None:
    assert disruption_budget(deployed())["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"
