"""The alerts: Prometheus takes them, each has a test of its own, and each says what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.checkout import ROOT
from support.prometheus import RULES
from support.validators import promtool

TESTS = Path(__file__).parent / "alerts_test.yml"
RUNBOOK = ROOT / "framework" / "RUNBOOK.md"
SCRAPED = ROOT / "compose" / "prometheus" / "prometheus.yml"


def rules() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def taken(*words: str | Path) -> None:
    """Assert that Prometheus's tool has nothing to say against it."""
    result = promtool(*words)
    assert result.returncode == 0, result.stdout + result.stderr


def test_prometheus_takes_the_rules() -> None:
    taken("check", "rules", RULES)


def test_each_fires_when_it_should_and_not_else() -> None:
    taken("test", "rules", TESTS)


def test_each_has_a_test_in_which_it_fires_and_one_in_which_nothing_does() -> None:
    fires: set[str] = set()
    for case in yaml.safe_load(TESTS.read_text())["tests"]:
        name = case["name"].split()[0]
        expected = [look["exp_samples"] for look in case["promql_expr_test"]]
        assert [] in expected, f"{name} is never seen not to fire"
        told = [sample["labels"] for samples in expected for sample in samples]
        if any(f'alertname="{name}"' in labels for labels in told):
            fires.add(name)
    assert fires == {rule["alert"] for rule in rules()}


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_each_says_how_bad_it_is_and_names_a_section_of_the_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"critical", "warning"}
    text = rule["annotations"]["description"]
    [section] = re.findall(r'RUNBOOK\.md, "([^"]+)"\.$', text)
    heading = f"\n## {section}\n"
    page = RUNBOOK.read_text()
    assert heading in page
    if section != "1. Look":
        assert rule["alert"] in page.partition(heading)[2].partition("\n## ")[0]
    # A name in a text that the expression does not give would be shown as nothing.
    shown = set(re.findall(r"\$labels\.(\w+)", text + rule["annotations"]["summary"]))
    aggregated = re.match(r"(?:\w+ )?(?:max|min|sum|histogram_quantile\(0\.99, sum) by \(([^)]+)\)", rule["expr"])
    if aggregated is not None:
        assert shown <= {label.strip() for label in aggregated[1].split(",")}


def test_prometheus_takes_what_compose_gives_it(tmp_path: Path) -> None:
    text = SCRAPED.read_text()
    assert text.count("/etc/prometheus/alerts.yml") == 1
    configuration = tmp_path / "prometheus.yml"
    configuration.write_text(text.replace("/etc/prometheus/alerts.yml", str(RULES)))
    taken("check", "config", configuration)


def test_what_compose_scrapes_are_the_jobs_that_the_alerts_speak_of() -> None:
    jobs = {one["job_name"] for one in yaml.safe_load(SCRAPED.read_text())["scrape_configs"]}
    assert set(re.findall(r'job="([^"]+)"', RULES.read_text())) <= jobs
