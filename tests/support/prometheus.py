"""A Prometheus of the test's own, and what it says."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx

from penstock.drill.servers.daemon import Daemon
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports
from support.checkout import ROOT
from support.tools import tool

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = ROOT / "framework" / "penstock" / "deploy" / "alerts.yml"
#: Scraped and evaluated as often as a short outage needs.
CONFIGURATION = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 500ms}}
rule_files: [{rules}]
scrape_configs:
  - {{job_name: penstock, static_configs: [{{targets: ['127.0.0.1:{port}']}}]}}
"""


class Prometheus:
    """Asks one that runs, over its HTTP API."""

    def __init__(self, url: str) -> None:
        self._url = url

    def ready(self) -> bool:
        """Whether it serves."""
        try:
            return httpx.get(f"{self._url}/-/ready", timeout=2).is_success
        except httpx.HTTPError:
            return False

    def value(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each sample that an expression has now."""
        found = self._ask("/api/v1/query", query=expression)["result"]
        return [(one["metric"], float(one["value"][1])) for one in found]

    def firing(self) -> set[str]:
        """The names of the alerts that fire now."""
        return {one["labels"]["alertname"] for one in self.alerts() if one["state"] == "firing"}

    def alerts(self) -> list[dict[str, Any]]:
        """The alerts that are pending or fire now, with labels and annotations."""
        alerts: list[dict[str, Any]] = self._ask("/api/v1/alerts")["alerts"]
        return alerts

    def ever_fired(self) -> set[str]:
        """The names of all alerts that have fired since it was started."""
        found = self.value('group by (alertname) (last_over_time(ALERTS{alertstate="firing"}[1h]))')
        return {labels["alertname"] for labels, _ in found}

    def _ask(self, path: str, **parameters: str) -> Any:
        answer = httpx.get(f"{self._url}{path}", params=parameters, timeout=10)
        answer.raise_for_status()
        return answer.json()["data"]


@contextmanager
def prometheus(rules: str, scraped: int) -> Iterator[Prometheus]:
    """One that scrapes a port of this machine and evaluates these rules; its data go with it."""
    program = tool("prometheus", "prometheus")
    folder = Folder("prometheus")
    (folder.path / "rules.yml").write_text(rules)
    configuration = CONFIGURATION.format(rules=folder.path / "rules.yml", port=scraped)
    (folder.path / "prometheus.yml").write_text(configuration)
    [port] = free_ports(1)
    options = {
        "config.file": folder.path / "prometheus.yml",
        "storage.tsdb.path": folder.path / "data",
        "web.listen-address": f"127.0.0.1:{port}",
    }
    command = [program, *(f"--{name}={value}" for name, value in options.items())]
    environment = {"PATH": os.defpath, "HOME": str(folder.path)}
    daemon = Daemon(command, folder=folder.path, log=folder.path / "log", environment=environment)
    try:
        daemon.spawn()
        found = Prometheus(f"http://127.0.0.1:{port}")
        wait_until(lambda: found.ready() or not daemon.running, 60, "Prometheus answers")
        assert daemon.running, daemon.tail()
        yield found
        daemon.stop(signal.SIGTERM)
    finally:
        daemon.kill()
        folder.remove()
