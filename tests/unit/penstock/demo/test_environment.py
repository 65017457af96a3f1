"""What the demo's workers get of the user's environment."""

from __future__ import annotations

from penstock.demo.environment import environment_of_workers, forget_past_settings
from penstock.settings import load

USERS = {
    "PATH": "/bin",
    "PENSTOCK_CONFIG": "/etc/penstock.yaml",
    "PENSTOCK_BATCH__COUNT": "7",
    "penstock_queue__topology": "none",
    "RABBITMQ_HOST": "production",
    "POSTGRES_PASSWORD_FILE": "/run/secrets/postgres",
    "NEO4J_URL": "bolt://production",
    "LOG_LEVEL": "error",
    "PGSSLMODE": "require",
}
STACK = {
    "RABBITMQ_URL": "amqp://penstock:secret@127.0.0.1:20000/",
    "POSTGRES_URL": "postgresql://penstock:secret@127.0.0.1:20001/postgres",
    "NEO4J_URL": "bolt://root:secret@127.0.0.1:20002",
}


def test_nothing_of_the_users_settings_gets_through() -> None:
    environment = environment_of_workers(USERS, STACK)
    assert environment.keys() & USERS.keys() == {"PATH", "NEO4J_URL"}
    assert STACK.items() <= environment.items()
    settings = load("discogs-table", None, environment)
    assert settings.batch.count == 500
    assert (settings.http.port, settings.log.level, settings.log.format) == (0, "info", "json")


def test_an_outage_of_five_seconds_is_enough_for_pause_and_probes() -> None:
    breaker = load(None, None, environment_of_workers({}, STACK)).breaker
    assert breaker.probe_min <= breaker.probe_max < 2
    assert breaker.failures < load(None, None, {}).breaker.failures


def test_what_the_client_reads_for_itself_is_forgotten() -> None:
    environment = {"PATH": "/bin", "PGSSLMODE": "require", "POSTGRES_HOST": "production"}
    forget_past_settings(environment)
    assert environment == {"PATH": "/bin", "POSTGRES_HOST": "production"}


def test_debug_reaches_the_workers() -> None:
    assert load(None, None, environment_of_workers({}, STACK, debug=True)).log.level == "debug"
