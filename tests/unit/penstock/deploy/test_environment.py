"""What pods are told: the settings that were given, and never a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.deploy.environment import SECRETS, checksum, config_map, secret_keys, variables
from penstock.settings import load
from support.certificates import self_signed
from support.deployed import GRAPH, TABLE, deployed

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.worker import Worker

SECRET = "hunter2-very-secret"
ANY_ADDRESS = "0.0.0.0"  # noqa: S104 what a pod listens on


def test_without_settings_it_says_where_the_servers_are() -> None:
    assert variables(deployed()) == {
        "PENSTOCK_HTTP__HOST": ANY_ADDRESS,
        "PENSTOCK_HTTP__PORT": "8080",
        "RABBITMQ_HOST": "rabbitmq",
        "RABBITMQ_USERNAME": "penstock",
        "RABBITMQ_PASSWORD_FILE": f"{SECRETS}/rabbitmq-password",
        "POSTGRES_HOST": "postgres",
        "POSTGRES_DATABASE": "postgres",
        "POSTGRES_USERNAME": "postgres",
        "POSTGRES_PASSWORD_FILE": f"{SECRETS}/postgres-password",
    }


def test_an_address_that_holds_a_password_comes_out_of_the_secret_whole() -> None:
    found = variables(
        deployed(
            POSTGRES_URL=f"postgresql://u:{SECRET}@host/db",
            POSTGRES_BACKUP_URL=f"postgresql://u:{SECRET}@backup/db",
            POSTGRES_HOST="ignored",
            PENSTOCK_FAILOVER__MODE="replica",
            RABBITMQ_PASSWORD=SECRET,
        )
    )
    assert found["POSTGRES_URL_FILE"] == f"{SECRETS}/postgres-url"
    assert found["POSTGRES_BACKUP_URL_FILE"] == f"{SECRETS}/postgres-backup-url"
    assert found["PENSTOCK_FAILOVER__MODE"] == "replica"
    assert not {"POSTGRES_HOST", "POSTGRES_PASSWORD_FILE", "POSTGRES_DATABASE"} & found.keys()
    assert SECRET not in repr(found)


def test_what_is_no_business_of_a_pod_is_left_out() -> None:
    found = variables(
        deployed(GRAPH, POSTGRES_HOST="other", LOG_FORMAT="console", PENSTOCK_DLQ__REPLAYS="9", LOG_LEVEL="debug")
    )
    assert {name for name in found if not name.startswith(("RABBITMQ_", "NEO4J_", "PENSTOCK_HTTP_"))} == {"LOG_LEVEL"}


def test_files_of_this_machine_come_out_of_the_secret(tmp_path: Path) -> None:
    authority = self_signed(tmp_path, "authority")
    found = deployed(POSTGRES_TLS="verify-full", POSTGRES_TLS_CA=str(authority))
    assert variables(found)["POSTGRES_TLS_CA"] == f"{SECRETS}/postgres-tls-ca"
    assert secret_keys(found)["postgres", "tls_ca"] == "postgres-tls-ca"


@pytest.mark.parametrize("host", [ANY_ADDRESS, "::"])
def test_it_listens_where_it_was_told_to_and_never_on_loopback_alone(host: str) -> None:
    assert variables(deployed(PENSTOCK_HTTP__HOST=host))["PENSTOCK_HTTP__HOST"] == host
    assert variables(deployed(PENSTOCK_HTTP__HOST="127.0.0.1"))["PENSTOCK_HTTP__HOST"] == ANY_ADDRESS


@pytest.mark.parametrize("worker", [TABLE, GRAPH])
def test_a_pod_that_is_told_so_has_the_settings_that_were_given(worker: Worker, tmp_path: Path) -> None:
    given = {
        "RABBITMQ_HOST": "one,two:5673",
        "RABBITMQ_VHOST": "music",
        "RABBITMQ_PASSWORD": SECRET,
        "RABBITMQ_TLS": "true",
        "POSTGRES_HOST": "db",
        "POSTGRES_PASSWORD": SECRET,
        "NEO4J_URL": f"neo4j+s://neo4j:{SECRET}@graph",
        "PENSTOCK_BATCH__PERIOD": "0.25",
        "PENSTOCK_LIMITS__HOLD_SECONDS": "1234567.5",
        "PENSTOCK_QUEUE__TOPOLOGY": "check",
        "PENSTOCK_SPILL__PATH": "/var/lib/penstock/spill",
    }
    before = deployed(worker, **given)
    for (section, key), name in secret_keys(before).items():
        (tmp_path / name).write_text(getattr(getattr(before.settings, section), key).get_secret_value())
    told = {name: text.replace(SECRETS, str(tmp_path)) for name, text in variables(before).items()}
    after = load(worker.name, environ=told)
    left_out = {"http", "neo4j" if worker is TABLE else "postgres"}
    assert after.model_dump(exclude=left_out) == before.settings.model_dump(exclude=left_out)


def test_the_checksum_changes_with_what_pods_are_told_and_not_with_a_password() -> None:
    one = checksum(deployed())
    assert one == checksum(deployed(POSTGRES_PASSWORD=SECRET))
    assert one != checksum(deployed(PENSTOCK_BATCH__COUNT="7"))
    assert config_map(deployed())["data"] == variables(deployed())
