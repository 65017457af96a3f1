"""All manifests together, and their YAML."""

from __future__ import annotations

from dataclasses import replace

import pytest
import yaml

from penstock.deploy.manifests import as_yaml, files_of, kustomization, manifests
from penstock.errors import UsageError
from support.deployed import EVENTS, GRAPH, TABLE, deployed


def test_each_worker_has_a_file_and_what_all_share_is_there_once() -> None:
    found = files_of([deployed(), deployed(GRAPH)])
    assert list(found) == ["orders.yaml", "friends.yaml", "penstock.yaml"]
    assert [document["kind"] for document in found["penstock.yaml"]] == ["PrometheusRule"]
    assert kustomization(found)["resources"] == list(found)


def test_only_events_have_a_ledger_to_prune() -> None:
    assert "CronJob" in [document["kind"] for document in manifests(deployed(EVENTS))]
    assert "CronJob" not in [document["kind"] for document in manifests(deployed(TABLE))]


@pytest.mark.parametrize(("one", "other"), [("shop_orders", "shop-orders"), ("a", "penstock")])
def test_workers_that_would_share_resources_are_refused(one: str, other: str) -> None:
    with pytest.raises(UsageError, match=f"worker {other}: {other} is another's name already"):
        files_of([deployed(replace(TABLE, name=name)) for name in (one, other)])


def test_the_yaml_says_what_the_data_says_without_references() -> None:
    documents = manifests(deployed(EVENTS))
    text = as_yaml([*documents, {"several": "lines\nof text\n"}])
    assert list(yaml.safe_load_all(text))[:-1] == documents
    assert "&id" not in text
    assert "several: |\n" in text
