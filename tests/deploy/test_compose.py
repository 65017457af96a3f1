"""compose.yaml: it is valid with all profiles; every service is bounded, confined, watched and ended in good time."""

from __future__ import annotations

import re
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from penstock.discovery import load_worker
from penstock.drill.servers import Unavailable
from penstock.settings import Limits
from support import compose
from support.tools import absent

if TYPE_CHECKING:
    from collections.abc import Mapping

#: By the profiles that are asked for, what is started.
CORE = {"rabbitmq", "postgres", "pgbouncer", "neo4j", "discogs-table", "discogs-graph"}
OBSERVABILITY = {"prometheus", "grafana"}
STARTED = {
    "core": CORE,
    "observability": OBSERVABILITY,
    "failover": {"postgres", "postgres-standby"},
    "core,observability": CORE | OBSERVABILITY,
    "core,failover": CORE | {"postgres-standby"},
    "core,observability,failover": CORE | OBSERVABILITY | {"postgres-standby"},
}
EVERYTHING = "core,observability,failover"
SERVICES = sorted(STARTED[EVERYTHING])
WORKERS = ("discogs-graph", "discogs-table")
SECONDS = {"s": 1, "m": 60}


@pytest.fixture(scope="module")
def by_profiles(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What compose.yaml means, by profiles, with what `make up` would set for them."""
    try:
        compose.find_compose()
    except Unavailable as reason:
        absent(reason)
    folder = tmp_path_factory.mktemp("compose")
    return {profiles: compose.rendered(compose.prepare(folder, profiles)) for profiles in STARTED}


@pytest.fixture(params=SERVICES)
def service(by_profiles: Mapping[str, dict[str, Any]], request: pytest.FixtureRequest) -> dict[str, Any]:
    """Each service, with all profiles."""
    found: dict[str, Any] = by_profiles[EVERYTHING]["services"][request.param]
    return found


@pytest.mark.parametrize("profiles", STARTED)
def test_each_choice_of_profiles_is_valid(by_profiles: Mapping[str, dict[str, Any]], profiles: str) -> None:
    assert set(by_profiles[profiles]["services"]) == STARTED[profiles]


def test_a_service_is_bounded_and_confined(service: dict[str, Any]) -> None:
    assert float(service["cpus"]) > 0
    assert re.fullmatch(r"\d+[mg]?", str(service["mem_limit"]))
    assert int(service["pids_limit"]) > 0
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["restart"] == "unless-stopped"
    assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
    # Neo4j's entrypoint writes its configuration beside the program.
    assert service.get("read_only", False) == (not service["image"].startswith("neo4j:"))
    assert not {"privileged", "network_mode", "cap_add", "pid", "ipc"} & service.keys()


def test_an_image_has_a_version(service: dict[str, Any]) -> None:
    assert re.fullmatch(r"[\w/-]+:v?\d+\.\d+[\w.-]*", service["image"])


def test_a_published_port_is_for_this_machine_alone(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        host = port["host_ip"] if isinstance(port, dict) else port.split(":")[0]
        assert host == "127.0.0.1"


@pytest.mark.parametrize("name", set(SERVICES) - set(WORKERS))
def test_a_server_is_watched(by_profiles: Mapping[str, dict[str, Any]], name: str) -> None:
    check = by_profiles[EVERYTHING]["services"][name]["healthcheck"]
    assert check["test"][0] == "CMD"
    assert seconds(check["timeout"]) <= seconds(check["interval"])


@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_is_the_image_with_a_volume_and_time_to_drain(
    by_profiles: Mapping[str, dict[str, Any]], name: str
) -> None:
    service = by_profiles[EVERYTHING]["services"][name]
    assert service["command"] == ["run", load_worker(name).name]
    # The image's own check, user and entrypoint.
    assert not any(service.get(name) for name in ("healthcheck", "user", "entrypoint"))
    assert Path(service["build"]["context"]) == compose.FOLDER.parent
    assert (compose.FOLDER.parent / service["build"]["dockerfile"]).samefile(compose.FOLDER / "Dockerfile")
    assert seconds(service["stop_grace_period"]) > Limits().drain_seconds
    [volume] = service["volumes"]
    source, target = (volume["source"], volume["target"]) if isinstance(volume, dict) else volume.split(":")[:2]
    assert (source.removeprefix("penstock_"), target) == (name, "/var/lib/penstock")
    assert all(needed["condition"] == "service_healthy" for needed in service["depends_on"].values())
    assert "rabbitmq" in service["depends_on"]


def test_a_service_waits_until_what_it_needs_is_healthy(by_profiles: Mapping[str, dict[str, Any]]) -> None:
    needs = {
        name: {needed for needed, how in service.get("depends_on", {}).items() if how["condition"] == "service_healthy"}
        for name, service in by_profiles[EVERYTHING]["services"].items()
    }
    assert {name: needed for name, needed in needs.items() if needed} == {
        "pgbouncer": {"postgres"},
        "postgres-standby": {"postgres"},
        "discogs-table": {"rabbitmq", "pgbouncer"},
        "discogs-graph": {"rabbitmq", "neo4j"},
        "grafana": {"prometheus"},
    }


def test_what_is_mounted_is_there(by_profiles: Mapping[str, dict[str, Any]]) -> None:
    mounted = set()
    for service in by_profiles[EVERYTHING]["services"].values():
        for volume in service.get("volumes", []):
            source = volume["source"] if isinstance(volume, dict) else volume.split(":")[0]
            if source.startswith("/"):
                mounted.add(Path(source))
                assert volume.endswith(":ro") if isinstance(volume, str) else volume["read_only"], source
    assert [path for path in sorted(mounted) if not path.exists()] == []
    assert len(mounted) >= 7


def test_prometheus_asks_each_worker_at_its_port() -> None:
    configuration = yaml.safe_load((compose.FOLDER / "prometheus" / "prometheus.yml").read_text())
    [job] = [one for one in configuration["scrape_configs"] if one["job_name"] == "penstock"]
    [targets] = [one["targets"] for one in job["static_configs"]]
    assert sorted(targets) == sorted(f"{name}:{load_worker(name).port}" for name in WORKERS)


def test_failover_is_set_with_its_profile_alone(by_profiles: Mapping[str, dict[str, Any]]) -> None:
    for profiles, wanted in STARTED.items():
        if "postgres" not in wanted:
            continue
        services = by_profiles[profiles]["services"]
        on = "failover" in profiles
        assert ("-csynchronous_standby_names=standby" in services["postgres"]["command"]) == on
        if "discogs-table" in wanted:
            environment = services["discogs-table"]["environment"]
            assert environment["PENSTOCK_FAILOVER__MODE"] == ("replica" if on else "")
            assert environment["POSTGRES_BACKUP_URL_FILE"] == ("/run/secrets/postgres-backup-url" if on else "")


def test_secrets_come_by_file_and_only_to_who_needs_them(service: dict[str, Any]) -> None:
    mounted = {
        (secret.get("target") or secret["source"]) if isinstance(secret, dict) else secret
        for secret in service.get("secrets", [])
    }
    for name, value in service.get("environment", {}).items():
        if re.search("PASS|AUTH|URL|KEY|SECRET", name):
            assert name.endswith("_FILE"), name
            assert value.removeprefix("/run/secrets/") in {Path(path).name for path in mounted}, name


def test_prepare_makes_each_secret(by_profiles: Mapping[str, dict[str, Any]], tmp_path: Path) -> None:
    compose.prepare(tmp_path, EVERYTHING)
    secrets = by_profiles[EVERYTHING]["secrets"].values()
    assert {Path(secret["file"]).name for secret in secrets} == {
        path.name for path in (tmp_path / ".secrets").iterdir()
    }
    assert {Path(secret["file"]).parent for secret in secrets} == {compose.FOLDER / ".secrets"}
    # No address with a password in it either.
    assert not re.search(r"://[^/\s]*:[^/\s]*@", yaml.safe_dump(by_profiles))


def test_secrets_are_random_made_once_and_their_owners_alone(tmp_path: Path) -> None:
    made = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        compose.prepare(tmp_path / name, "core")
        folder = tmp_path / name / ".secrets"
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        # Another user's processes read them in containers, where they are mounted one by one.
        assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o444}
        made.append({path.name: path.read_text() for path in folder.iterdir()})
    assert all(made[0][name] != made[1][name] for name in made[0])
    assert all(len(text.split()[-1]) >= 32 for text in made[0].values())
    compose.prepare(tmp_path / "one", EVERYTHING)
    assert {path.name: path.read_text() for path in (tmp_path / "one" / ".secrets").iterdir()} == made[0]


def test_a_profile_that_does_not_exist_is_refused() -> None:
    done = subprocess.run([compose.FOLDER / "prepare", "core,fail"], capture_output=True, text=True, check=False)
    assert (done.returncode, "there is no profile fail:" in done.stderr) == (2, True)


def seconds(text: str) -> float:
    """Of a duration as compose writes it: 35s, 1m0s, 2m."""
    parts = re.findall(r"(\d+)([sm])", text)
    assert "".join(number + unit for number, unit in parts) == text
    return sum(int(number) * SECONDS[unit] for number, unit in parts)
