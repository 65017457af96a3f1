"""The dashboard names only what a real worker's /metrics has, label by label, and Prometheus can read all of it."""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from penstock.drill.installation import Installation
from penstock.drill.servers.wait import wait_until
from support import broker, stores
from support.checkout import ROOT
from support.tools import tool

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from penstock.drill.installation import Process
    from penstock.drill.servers import Server
    from penstock.drill.servers.native import NativeServer

GRAFANA = ROOT / "compose" / "grafana"
DASHBOARD = json.loads((GRAFANA / "dashboards" / "penstock.json").read_text())
WORKER = "discogs-table"
#: Prometheus gives these to everything that it scrapes.
SCRAPED = {"instance", "job"}
WORDS = re.compile(r"\b(?:penstock|process)_\w+")


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def targets() -> Iterator[tuple[str, str]]:
    """Expression and legend of each curve."""
    for panel in panels():
        for target in panel["targets"]:
            yield target["expr"], target["legendFormat"]


def labels_used(expression: str, legend: str) -> set[str]:
    grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
    matched = {name for braces in re.findall(r"\{([^}]*)\}", expression) for name in re.findall(r"(\w+)=", braces)}
    return grouped | matched | set(re.findall(r"\{\{(\w+)\}\}", legend))


def samples(worker: Process) -> dict[str, set[str]]:
    """The labels of each sample that /metrics has, by its name."""
    found: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(worker.get("/metrics").text):
        for sample in family.samples:
            found.setdefault(sample.name, set()).update(sample.labels)
    return found


async def test_it_names_what_a_real_worker_shows(
    own_postgres: Server, own_standby: NativeServer, broker_url: str, tmp_path: Path
) -> None:
    """A worker that has a standby, a spill, and a record that its sink has refused: each metric has a sample."""
    assert own_standby.daemon.running
    told = {"RABBITMQ_URL": broker_url, "POSTGRES_URL": own_postgres.url, "PENSTOCK_SPILL__PATH": str(tmp_path)}
    with Installation(told).start("run", WORKER) as worker:
        await asyncio.to_thread(worker.wait_ready)
        await stores.ask(own_postgres.url, "ALTER TABLE artists ADD CONSTRAINT small CHECK (data_id::int < 3)")
        records = [("artist", {"type": "artist", "id": str(one), "name": "x", "members": []}) for one in (1, 2, 3)]
        await broker.publish(broker_url, "discogs", records)
        await asyncio.to_thread(
            wait_until, lambda: worker.metric("penstock_dead_lettered_total") == 1, 60, "one is a dead letter"
        )
        await asyncio.to_thread(
            wait_until, lambda: "penstock_replication_lag_seconds" in samples(worker), 60, "the standby is seen"
        )
        shown = samples(worker)
    assert len(list(targets())) > 40
    for expression, legend in targets():
        names = set(WORDS.findall(expression))
        assert names
        assert names <= shown.keys(), f"no sample of {names - shown.keys()}"
        for name in names:
            unknown = labels_used(expression, legend) - shown[name] - SCRAPED
            assert not unknown, f"{name} has no label {unknown}"


def test_prometheus_can_read_every_expression(tmp_path: Path) -> None:
    """As the rules of a file, with Grafana's variables replaced by what Grafana would put there."""
    rules = [
        {"record": f"panel:{number}", "expr": expression.replace("$__rate_interval", "1m").replace("$worker", ".+")}
        for number, (expression, _) in enumerate(targets())
    ]
    assert not any("$" in rule["expr"] for rule in rules)
    file = tmp_path / "rules.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run(
        [tool("promtool", "prometheus"), "check", "rules", str(file)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(rules)} rules found" in done.stdout


@pytest.mark.parametrize("panel", panels(), ids=lambda panel: panel["title"])
def test_every_panel_says_what_it_shows_and_takes_the_chosen_data(panel: dict[str, Any]) -> None:
    assert panel["description"].endswith(".")
    assert panel["datasource"]["uid"] == "${datasource}"
    assert all("$worker" in target["expr"] or "process_" in target["expr"] for target in panel["targets"])


def test_grafana_finds_data_and_dashboard() -> None:
    [source] = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yml").read_text())["datasources"]
    chosen = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert chosen["datasource"]["current"]["value"] == source["uid"]
    assert chosen["worker"]["definition"] == "label_values(penstock_consuming, worker)"
    [provider] = yaml.safe_load((GRAFANA / "provisioning/dashboards/penstock.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/var/lib/grafana/dashboards"
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
