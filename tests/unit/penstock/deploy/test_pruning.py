"""The CronJob that prunes a ledger."""

from __future__ import annotations

from dataclasses import replace

from penstock.deploy.pruning import prune_job
from penstock.deploy.workload import workload
from support.deployed import EVENTS, deployed


def test_it_runs_one_at_a_time_and_each_worker_s_at_a_minute_of_its_own() -> None:
    found = prune_job(deployed(EVENTS))
    assert found["metadata"]["name"] == "events-ledger-prune"
    assert found["spec"]["concurrencyPolicy"] == "Forbid"
    schedules = {
        prune_job(deployed(replace(EVENTS, name=f"events-{number}")))["spec"]["schedule"] for number in range(20)
    }
    assert len(schedules) > 10
    assert prune_job(deployed(EVENTS)) == found


def test_its_pods_are_none_of_the_worker_s() -> None:
    chosen = workload(deployed(EVENTS))["spec"]["selector"]["matchLabels"]
    labels = prune_job(deployed(EVENTS))["spec"]["jobTemplate"]["spec"]["template"]["metadata"]["labels"]
    assert not chosen.items() <= labels.items()
