"""Names and labels of resources."""

from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.deploy.names import metadata, resource_name, selector
from penstock.errors import UsageError
from support.deployed import TABLE, deployed


@pytest.mark.parametrize(
    ("worker", "name"),
    [("discogs-table", "discogs-table"), ("shop_Orders", "shop-orders"), ("a.b--c", "a-b-c"), ("Ünion", "nion")],
)
def test_a_worker_s_name_becomes_one_that_kubernetes_takes(worker: str, name: str) -> None:
    assert resource_name(deployed(replace(TABLE, name=worker))) == name


@pytest.mark.parametrize("worker", ["___", "x" * 40])
def test_a_name_of_which_nothing_is_left_or_too_much_is_refused(worker: str) -> None:
    with pytest.raises(UsageError, match=f"worker {worker} has no name for Kubernetes"):
        resource_name(deployed(replace(TABLE, name=worker)))


def test_the_longest_name_leaves_room_for_what_a_cron_job_adds() -> None:
    name = resource_name(deployed(replace(TABLE, name="x" * 39)))
    assert len(f"{name}-ledger-prune") <= 52


def test_one_component_is_chosen_by_its_labels_or_all_of_a_worker() -> None:
    one, all_of_it = selector(deployed()), selector(deployed(), component=None)
    assert all_of_it.items() < one.items()
    assert metadata(deployed(), annotations={"why": "so"}) == {
        "name": "orders",
        "namespace": "penstock",
        "labels": one,
        "annotations": {"why": "so"},
    }
