"""How Prometheus finds pods and alerts."""

from __future__ import annotations

from importlib.resources import files

import yaml

from penstock.deploy.monitoring import prometheus_rule, service, service_monitor
from penstock.deploy.pod import worker_pod
from support.deployed import PLACEMENT, deployed


def test_a_worker_that_waits_for_its_sink_is_scraped_as_well() -> None:
    spec = service(deployed())["spec"]
    assert (spec["clusterIP"], spec["publishNotReadyAddresses"]) == ("None", True)
    assert spec["selector"] == worker_pod(deployed(), {})["metadata"]["labels"]


def test_our_own_label_endpoint_stays_and_the_job_is_the_one_alerts_name() -> None:
    found = service_monitor(deployed())
    [endpoint] = found["spec"]["endpoints"]
    assert endpoint["honorLabels"]
    assert found["spec"]["selector"]["matchLabels"].items() <= service(deployed())["metadata"]["labels"].items()
    assert service(deployed())["metadata"]["labels"][found["spec"]["jobLabel"]] == "penstock"


def test_the_alerts_are_those_of_the_file() -> None:
    text = files("penstock.deploy").joinpath("alerts.yml").read_text(encoding="utf-8")
    assert prometheus_rule(PLACEMENT)["spec"] == yaml.safe_load(text)
