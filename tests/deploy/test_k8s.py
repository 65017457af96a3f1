"""`penstock k8s` and k8s/: valid by strict schemas, equal to each other, without a secret, and mindful of the sink."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from penstock.discovery import worker_names
from penstock.drill.installation import Installation
from support.validators import kubeconform, kustomize, promtool

K8S = Path(__file__).parents[2] / "k8s"
OVERLAYS = sorted(folder.parent.name for folder in K8S.glob("*/kustomization.yaml") if folder.parent.name != "base")
#: What `make k8s` prints for.
IN_BASE = ("discogs-table", "discogs-graph")
OPERATORS = {"ScaledObject", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}
EVERYWHERE = {"ConfigMap", "NetworkPolicy", "Service", "PodDisruptionBudget"}
SECRET = "hunter2-very-secret"
PENSTOCK = Installation({})


def kinds(manifests: str) -> set[str]:
    return {document["kind"] for document in yaml.safe_load_all(manifests)}


def assert_valid(manifests: str) -> None:
    result = kubeconform(manifests)
    documents = list(yaml.safe_load_all(manifests))
    assert result.returncode == 0, result.stdout + result.stderr
    # Skipped would be unseen.
    assert f"Valid: {len(documents)}, Invalid: 0, Errors: 0, Skipped: 0" in result.stdout


@pytest.mark.parametrize("worker", worker_names())
def test_what_is_printed_for_a_worker_is_valid(worker: str) -> None:
    manifests = PENSTOCK.done("k8s", worker)
    assert_valid(manifests)
    assert kinds(manifests) >= {*OPERATORS, *EVERYWHERE, "Deployment"}


@pytest.mark.parametrize("worker", ["shop-orders", "shop-parcels", "shop-notes"])
def test_what_is_printed_for_an_outside_package_is_valid(outside_python: str, worker: str) -> None:
    shop = Installation({"SHOP_NOTES": "/var/notes/notes.sqlite"}, outside_python)
    manifests = shop.done("k8s", worker, "--image", "registry.example/shop:1.0.0", "--namespace", "shop")
    assert_valid(manifests)
    # Orders and parcels are events, entered by a ledger; notes have no version, and one process keeps them in order.
    assert ("CronJob" in kinds(manifests)) == (worker != "shop-notes")
    documents = list(yaml.safe_load_all(manifests))
    [scaled] = [document["spec"] for document in documents if document["kind"] == "ScaledObject"]
    assert (scaled["maxReplicaCount"] == 1) == (worker == "shop-notes")
    assert {document["metadata"]["namespace"] for document in documents} == {"shop"}
    [workload] = [document["spec"] for document in documents if document["kind"] == "Deployment"]
    assert workload["template"]["spec"]["containers"][0]["image"] == "registry.example/shop:1.0.0"


@pytest.mark.parametrize("worker", ["discogs-table", "drill-ledger"])
def test_what_containers_run_is_a_command_of_ours(worker: str) -> None:
    documents = list(yaml.safe_load_all(PENSTOCK.done("k8s", worker)))
    templates = [one["spec"]["template"] for one in documents if one["kind"] == "Deployment"]
    templates += [one["spec"]["jobTemplate"]["spec"]["template"] for one in documents if one["kind"] == "CronJob"]
    assert len(templates) == (2 if worker == "drill-ledger" else 1)
    for template in templates:
        [container] = template["spec"]["containers"]
        # An option or a command that does not exist is refused all the same.
        result = PENSTOCK.penstock(*container["args"], "--help")
        assert result.returncode == 0, result.stderr
        assert PENSTOCK.penstock(*container["args"], "--no-such-option", "--help").returncode == 2


def test_what_is_printed_with_a_spill_and_an_outbox_is_valid() -> None:
    keeping = PENSTOCK.with_settings(spill__path="/var/lib/penstock/spill", outbox__path="/var/lib/penstock/outbox/o")
    manifests = keeping.done("k8s", "discogs-table")
    assert_valid(manifests)
    assert "StatefulSet" in kinds(manifests)
    assert "Deployment" not in kinds(manifests)


@pytest.mark.parametrize(
    "text", ["1e3", "0o7", "y", "~", "null", "on", "12:30", "=", "0x1F", ".5", "2026-01-01", "a: b # c"]
)
def test_a_text_stays_a_text_for_kubectl(text: str) -> None:
    manifests = PENSTOCK.with_settings(POSTGRES_DATABASE=text, RABBITMQ_VHOST=text).done("k8s", "discogs-table")
    assert_valid(manifests)
    [told] = [one["data"] for one in yaml.safe_load_all(manifests) if one["kind"] == "ConfigMap"]
    assert told["POSTGRES_DATABASE"] == told["RABBITMQ_VHOST"] == text


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        ("Deployment", "terminationGracePeriodSeconds"),
        ("NetworkPolicy", "podSelector"),
        ("ScaledObject", "maxReplicaCount"),
        ("TriggerAuthentication", "secretTargetRef"),
        ("ServiceMonitor", "honorLabels"),
        ("PrometheusRule", "expr"),
        ("CronJob", "jobTemplate"),
    ],
)
def test_a_field_that_does_not_exist_is_refused(kind: str, field: str) -> None:
    manifests = PENSTOCK.done("k8s", "drill-ledger")
    assert_valid(manifests)
    result = kubeconform(manifests.replace(f"{field}:", f"{field}X:"))
    assert result.returncode == 1
    assert f"{kind} " in result.stdout
    assert f"additional properties '{field}X' not allowed" in result.stdout


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_valid(overlay: str) -> None:
    manifests = kustomize(K8S / overlay)
    assert_valid(manifests)
    assert kinds(manifests) >= {*EVERYWHERE, "Deployment"}


def test_development_needs_no_operator_and_production_has_them_all() -> None:
    development, production = (kustomize(K8S / overlay) for overlay in ("development", "production"))
    assert not kinds(development) & OPERATORS
    assert kinds(production) >= OPERATORS
    replicas = [one["spec"]["replicas"] for one in yaml.safe_load_all(development) if one["kind"] == "Deployment"]
    assert replicas == [1, 1]
    # Where KEDA says how many, nothing else does.
    assert not any("replicas" in one["spec"] for one in yaml.safe_load_all(production) if one["kind"] == "Deployment")


def test_the_base_is_what_the_command_prints(tmp_path: Path) -> None:
    PENSTOCK.done("k8s", *IN_BASE, "--output-dir", tmp_path)
    printed = {file.name: file.read_text() for file in tmp_path.iterdir()}
    committed = {file.name: file.read_text() for file in (K8S / "base").iterdir()}
    assert printed == committed, "run make k8s"
    files = yaml.safe_load(committed["kustomization.yaml"])["resources"]
    assert PENSTOCK.done("k8s", *IN_BASE) == "".join(committed[file] for file in files)


@pytest.mark.parametrize(
    "variables",
    [
        {f"{system}_PASSWORD": SECRET for system in ("RABBITMQ", "POSTGRES", "NEO4J")},
        {
            "RABBITMQ_URL": f"amqp://user:{SECRET}@broker/",
            "POSTGRES_URL": f"postgresql://user:{SECRET}@one/music",
            "POSTGRES_BACKUP_URL": f"postgresql://user:{SECRET}@two/music?password={SECRET}",
            "NEO4J_URL": f"bolt://neo4j:{SECRET}@three",
            "NEO4J_BACKUP_URL": f"bolt://neo4j:{SECRET}@four",
            "PENSTOCK_FAILOVER__MODE": "independent",
        },
    ],
)
def test_no_password_is_ever_printed(variables: dict[str, str]) -> None:
    result = Installation(variables).penstock("k8s", *IN_BASE)
    assert result.returncode == 0, result.stderr
    assert SECRET not in result.stdout + result.stderr
    assert_valid(result.stdout)
    # Every file that the environment names is one that the Secret brings.
    documents = list(yaml.safe_load_all(result.stdout))
    named = {
        Path(value).name
        for one in documents
        if one["kind"] == "ConfigMap"
        for name, value in one["data"].items()
        if name.endswith("_FILE")
    }
    brought = {
        item["path"]
        for one in documents
        if one["kind"] == "Deployment"
        for item in one["spec"]["template"]["spec"]["volumes"][0]["secret"]["items"]
    }
    assert named == brought
    assert len(named) >= 3
    assert all(key in result.stderr for key in brought)


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = PENSTOCK.penstock("k8s", "discogs-table", "--output-dir", tmp_path / "file" / "base")
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "--output-dir" in line


class Pod:
    """What Prometheus has of a worker's pod: the state of its breakers by endpoint, the endpoint in use, its fuse."""

    def __init__(self, name: str, breakers: dict[str, int], active: str = "primary", *, fuse: int = 0) -> None:
        labels = f'namespace="penstock",pod="{name}"'
        self.series = {f'penstock_fuse_blown{{{labels},worker="WORKER",endpoint="http"}}': fuse}
        for endpoint, state in breakers.items():
            own = f'{labels},worker="WORKER",endpoint="{endpoint}"'
            self.series[f"penstock_breaker_state{{{own}}}"] = state
            self.series[f"penstock_endpoint_active{{{own}}}"] = int(endpoint == active)


CLOSED, HALF_OPEN, OPEN = 0, 1, 2
WELL = [Pod("a", {"primary": CLOSED}), Pod("b", {"primary": CLOSED})]


@pytest.mark.parametrize(
    ("pods", "worker", "allowed"),
    [
        (WELL, "discogs-table", 2 + 4),
        ([WELL[0], Pod("b", {"primary": OPEN})], "discogs-table", 2),
        ([WELL[0], Pod("b", {"primary": HALF_OPEN})], "discogs-table", 2),
        ([Pod("a", {"primary": OPEN, "backup": CLOSED}, "backup")], "discogs-table", 1 + 4),
        ([Pod("a", {"primary": OPEN, "backup": OPEN}, "backup")], "discogs-table", 1),
        ([WELL[0], Pod("b", {"primary": CLOSED}, fuse=1)], "discogs-table", 2),
        # It has waited for its sink since it started.
        ([Pod("a", {"primary": CLOSED, "backup": CLOSED}, "none")], "discogs-table", 1),
        # Of this worker Prometheus knows nothing, so there is no answer, and KEDA leaves all as it is.
        (WELL, "another", None),
    ],
)
def test_no_replica_is_added_while_the_sink_is_away(
    pods: list[Pod], worker: str, allowed: int | None, tmp_path: Path
) -> None:
    samples = [] if allowed is None else [{"labels": "{}", "value": allowed}]
    series = [
        {"series": name.replace("WORKER", worker), "values": f"{value}x4"}
        for pod in pods
        for name, value in pod.series.items()
    ]
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [asked(samples)]}
    file = tmp_path / "query.yml"
    file.write_text(yaml.safe_dump({"evaluation_interval": "15s", "tests": [test]}))
    result = promtool("test", "rules", file)
    assert result.returncode == 0, result.stdout + result.stderr


def asked(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """The question that KEDA has for Prometheus, and what it is to be answered."""
    documents = yaml.safe_load_all((K8S / "base" / "discogs-table.yaml").read_text())
    [scaled] = [document["spec"] for document in documents if document["kind"] == "ScaledObject"]
    [trigger] = [trigger["metadata"] for trigger in scaled["triggers"] if trigger["name"] == "allowed"]
    return {"expr": trigger["query"], "eval_time": "30s", "exp_samples": samples}
