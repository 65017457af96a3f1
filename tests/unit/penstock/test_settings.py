"""Settings: sources and their order, errors that name their origin, secrets that stay secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from penstock.errors import SettingsError
from penstock.settings import Settings, backup_urls, load
from penstock.settings_environment import not_read
from penstock.settings_shown import describe, effective, secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    #: Writes a settings file.
    Write = Callable[[str], Path]

PASSWORD = "Tr0ub4dor/&3"


def problem(config: Path | None = None, **environ: str) -> str:
    with pytest.raises(SettingsError) as caught:
        load("discogs-table", config, environ)
    text = str(caught.value)
    assert "\n" not in text
    return text


@pytest.fixture
def file(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "penstock.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def test_without_any_source_all_is_default() -> None:
    assert load(None, None, {}) == Settings()


@pytest.mark.parametrize(
    ("name", "text", "section", "key", "expected"),
    [
        ("RABBITMQ_HOST", "rabbit:5673", "rabbitmq", "host", "rabbit:5673"),
        ("RABBITMQ_PORT", "5673", "rabbitmq", "port", 5673),
        ("RABBITMQ_USERNAME", "u", "rabbitmq", "username", "u"),
        ("RABBITMQ_VHOST", "v", "rabbitmq", "virtual_host", "v"),
        ("RABBITMQ_VIRTUAL_HOST", "v", "rabbitmq", "virtual_host", "v"),
        ("RABBITMQ_TLS", "true", "rabbitmq", "tls", True),
        ("POSTGRES_HOST", "db:5433", "postgres", "host", "db:5433"),
        ("POSTGRES_PORT", "5433", "postgres", "port", 5433),
        ("POSTGRES_DATABASE", "d", "postgres", "database", "d"),
        ("POSTGRES_USERNAME", "u", "postgres", "username", "u"),
        ("NEO4J_HOST", "bolt://graph:7688", "neo4j", "host", "bolt://graph:7688"),
        ("NEO4J_PORT", "7688", "neo4j", "port", 7688),
        ("NEO4J_DATABASE", "d", "neo4j", "database", "d"),
        ("NEO4J_USERNAME", "u", "neo4j", "username", "u"),
        ("LOG_LEVEL", "WARNING", "log", "level", "warning"),
        ("LOG_FORMAT", "console", "log", "format", "console"),
        ("TRANSACTION_RETRY_ATTEMPTS", "7", "transaction", "retry_attempts", 7),
        ("TRANSACTION_RETRY_DELAY", "0.5", "transaction", "retry_delay", 0.5),
        ("PENSTOCK_OUTBOX__PATH", "/data/outbox", "outbox", "path", "/data/outbox"),
        ("PENSTOCK_OUTBOX__BYTE_SIZE", "7", "outbox", "byte_size", 7),
        ("PENSTOCK_BATCH__COUNT", "7", "batch", "count", 7),
        ("PENSTOCK_QUEUE__TOPOLOGY", "none", "queue", "topology", "none"),
        ("PENSTOCK_RABBITMQ__TLS", "true", "rabbitmq", "tls", True),
        ("PENSTOCK_HTTP__PORT", "0", "http", "port", 0),
    ],
)
def test_a_variable_sets_its_setting(name: str, text: str, section: str, key: str, expected: object) -> None:
    settings = load(None, None, {name: text})
    assert getattr(getattr(settings, section), key) == expected


@pytest.mark.parametrize("system", ["RABBITMQ", "POSTGRES", "NEO4J"])
@pytest.mark.parametrize("key", ["PASSWORD", "URL"])
@pytest.mark.parametrize("pattern", ["{}_{}", "PENSTOCK_{}__{}"])
def test_a_secret_comes_from_its_variable_or_from_a_file(tmp_path: Path, system: str, key: str, pattern: str) -> None:
    scheme = {"RABBITMQ": "amqp", "POSTGRES": "postgresql", "NEO4J": "bolt"}[system]
    secret = PASSWORD if key == "PASSWORD" else f"{scheme}://me:pw@there/x"
    secret_file = tmp_path / "secret"
    secret_file.write_text(f"{secret}\n", encoding="utf-8")
    name = pattern.format(system, key)
    for environ in ({name: secret}, {f"{name}_FILE": str(secret_file)}):
        section = getattr(load(None, None, environ), system.lower())
        assert getattr(section, key.lower()).get_secret_value() == secret
        assert secret not in repr(section)


def test_the_environment_wins_over_the_workers_section_which_wins_over_the_rest(file: Write) -> None:
    path = file(
        "batch: {count: 1, period: 1}\nlimits: {depth: 1}\n"
        "workers: {discogs-table: {batch: {count: 2}, limits: {depth: 2}}}\n"
    )
    table = load("discogs-table", path, {"PENSTOCK_LIMITS__DEPTH": "3"})
    assert (table.batch.count, table.batch.period, table.limits.depth) == (2, 1, 3)
    graph = load("discogs-graph", None, {"PENSTOCK_CONFIG": str(path)})
    assert (graph.batch.count, graph.limits.depth) == (1, 1)


def test_the_exact_name_wins_over_the_conventional_one() -> None:
    assert load(None, None, {"PENSTOCK_LOG__LEVEL": "debug", "LOG_LEVEL": "error"}).log.level == "debug"


def test_variables_are_put_into_the_file(file: Write) -> None:
    path = file(
        'rabbitmq:\n  host: "${MQ:fallback}"\n  username: ${MQ_USER:}\n'
        '  password: "a$${b}${PW}"\n  port: ${MQ_PORT:5673}\n'
    )
    rabbitmq = load(None, path, {"PW": PASSWORD}).rabbitmq
    assert (rabbitmq.host, rabbitmq.port, rabbitmq.username) == ("fallback", 5673, "guest")
    assert rabbitmq.password.get_secret_value() == "a${b}" + PASSWORD
    assert load(None, path, {"PW": "x", "MQ": "given"}).rabbitmq.host == "given"


def test_a_password_of_digits_stays_a_text_and_anchors_work(file: Write) -> None:
    path = file("postgres: &p {password: 0123}\nneo4j: {<<: *p, username: me}\nbatch:\nworkers:\n")
    settings = load(None, path, {})
    assert settings.neo4j.password.get_secret_value() == "0123"
    assert load(None, file(""), {}) == Settings()


def test_empty_variables_and_those_of_others_set_nothing() -> None:
    environ = {
        "RABBITMQ_URL": "",
        "PENSTOCK_BATCH__COUNT": "",
        "PENSTOCK_TEST_RABBITMQ_URL": "x",
        "PENSTOCK_REQUIRE_SERVICES": "1",
        "PENSTOCK_SAMPLE_DATA": "x",
        "PENSTOCK_CACHE": "x",
        # What Kubernetes sets beside a service called rabbitmq, postgres or penstock-monitor.
        "RABBITMQ_PORT": "tcp://10.0.0.1:5672",
        "POSTGRES_PORT": "tcp://10.0.0.2:5432",
        "PENSTOCK_MONITOR_SERVICE_HOST": "10.0.0.3",
        "PENSTOCK_MONITOR_SERVICE_PORT_HTTP": "8003",
        "PENSTOCK_MONITOR_PORT": "tcp://10.0.0.3:8003",
        "PENSTOCK_MONITOR_PORT_8003_TCP_ADDR": "10.0.0.3",
    }
    assert load(None, None, environ) == Settings()


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("PENSTOCK_BATCH_COUNT", "PENSTOCK_BATCH__COUNT"),
        ("PENSTOCK_BATCH__CUONT", "PENSTOCK_BATCH__COUNT"),
        ("PENSTOCK_BATCH__COUNT_FILE", "PENSTOCK_BATCH__COUNT"),
        ("penstock_http__port", "PENSTOCK_HTTP__PORT"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(name: str, suggestion: str) -> None:
    assert problem(None, **{name: "1"}) == f"{name}: there is no such setting; did you mean {suggestion}?"


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("RABBITMQ_HSOT", "RABBITMQ_HOST"),
        ("RABBITMQ_USER", "RABBITMQ_USERNAME"),
        ("RABBITMQ_SSL", "RABBITMQ_TLS"),
        ("rabbitmq_host", "RABBITMQ_HOST"),
        ("POSTGRES_DB", "POSTGRES_DATABASE"),
        ("POSTGRES_PASWORD_FILE", "POSTGRES_PASSWORD_FILE"),
        ("NEO4J_URI", "NEO4J_URL"),
    ],
)
def test_a_variable_beside_the_conventional_ones_is_told_but_not_refused(name: str, meant: str) -> None:
    assert [(variable.name, variable.meant) for variable in not_read({name: "x"})] == [(name, meant)]
    assert load(None, None, {name: "x"}) == Settings()


@pytest.mark.parametrize(
    "name",
    [
        *("RABBITMQ_HOST", "RABBITMQ_VHOST", "RABBITMQ_VIRTUAL_HOST", "POSTGRES_PASSWORD_FILE", "NEO4J_URL_FILE"),
        # The servers' own, of their images and of their scripts.
        *("RABBITMQ_NODENAME", "RABBITMQ_NODE_PORT", "RABBITMQ_DEFAULT_USER", "RABBITMQ_CONFIG_FILE", "RABBITMQ_HOME"),
        *("RABBITMQ_USE_LONGNAME", "POSTGRES_INITDB_ARGS", "POSTGRES_HOST_AUTH_METHOD", "POSTGRES_USER_FILE"),
        *("NEO4J_AUTH", "NEO4J_PLUGINS", "NEO4J_EDITION"),
        # Kubernetes' and Docker's.
        *("RABBITMQ_SERVICE_HOST", "RABBITMQ_SERVICE_PORT", "POSTGRES_PORT_5432_TCP_ADDR"),
    ],
)
def test_what_is_read_or_belongs_to_others_is_no_slip_of_the_pen(name: str) -> None:
    assert list(not_read({name: "x"})) == []


def test_an_empty_variable_is_no_slip_of_the_pen() -> None:
    assert list(not_read({"RABBITMQ_HSOT": ""})) == []


def test_an_unknown_variable_like_nothing_is_named() -> None:
    assert problem(PENSTOCK_XYZZY="1") == "PENSTOCK_XYZZY: there is no such setting; unset it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("batch:\n  cuont: 1\n", "penstock.yaml:2: there is no setting batch.cuont; did you mean batch.count?"),
        ("bath: {count: 1}\n", "penstock.yaml:1: there is no setting bath; did you mean batch?"),
        (
            "workers: {w: {batch: {cuont: 1}}}",
            "no setting workers.w.batch.cuont; did you mean workers.w.batch.count?",
        ),
        ("workers: {w: {workers: {}}}", "there is no setting workers.w.workers"),
        ("batch: 5\n", "penstock.yaml:1: batch is a section"),
        ("batch: {count: {a: 1}}\n", "penstock.yaml:1: batch.count takes one value"),
        ("batch: [1]\n", "penstock.yaml:1: batch is a section"),
        ("batch:\n  count: [1]\n", "penstock.yaml:2: batch.count is a list; write one value"),
        ("batch: &a {count: *a}\n", "penstock.yaml:1: no setting takes so deep a section"),
        ("- batch\n", "penstock.yaml: holds no settings"),
        ("workers: {w: {count: 5}}", "no setting workers.w.count; did you mean workers.w.batch.count?"),
        ("batch: {prefetch: 5}", "there is no setting batch.prefetch; did you mean queue.prefetch?"),
        ("database: x", "there is no setting database; did you mean neo4j.database or postgres.database?"),
        ("batch:\n  count: 1\n  count: 2\n", "penstock.yaml:3: count is there already, in line 2"),
        ("? [a]\n: 1\n", "penstock.yaml:1: a key must be a plain name"),
        ("just text\n", "penstock.yaml: holds no settings"),
        ("batch:\n  count: ${N}\n", "penstock.yaml:2: the variable N is not set; set it, or give a default: ${N:…}"),
        ("batch:\n  count: ${1}\n", "penstock.yaml:2: ${ begins no ${VAR}"),
        ("batch:\n  count: many\n", "penstock.yaml:2: batch.count: 'many' is not a whole number from 1 to 32767"),
        ("batch: {count: 1\nlog:\n", "penstock.yaml:1:8: not YAML: a quote or bracket is never closed"),
        ("log:\n  level: 'info\nbatch:\n", "penstock.yaml:2:10: not YAML: a quote or bracket is never closed"),
        ("batch:\n\tcount: 1\n", "penstock.yaml:2:1: not YAML: there is a tab; indent with spaces"),
        ("batch:\n  count: 1\n period: 1\n", "penstock.yaml:3:2: not YAML: the indentation is wrong"),
        ("log:\n  level: a: b\n", "penstock.yaml:2:11: not YAML: a colon too many"),
        ("log:\n  level: *nothing\n", "penstock.yaml:2:10: not YAML: put quotes around a value"),
        ("batch: \x01\n", "penstock.yaml: not YAML: it holds characters"),
    ],
)
def test_a_fault_in_the_file_is_named_with_its_line(file: Write, text: str, expected: str) -> None:
    assert expected in problem(file(text))


@pytest.mark.parametrize(
    "text", [f"*{PASSWORD}", f"!{PASSWORD}!x", f"&{PASSWORD} x: y: z", f"'{PASSWORD}", f"%{PASSWORD}"]
)
def test_broken_yaml_does_not_show_a_password(file: Write, text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, file(f"postgres:\n  password: {text}\n"), {})
    assert "Tr0ub4dor" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    expected = f"{path} (--config, PENSTOCK_CONFIG) cannot be read: No such file or directory"
    assert problem(path) == expected
    assert problem(PENSTOCK_CONFIG=str(path)) == expected
    assert "cannot be read: Is a directory" in problem(tmp_path)
    path.write_bytes(b"\xff\xfe")
    assert "not UTF-8" in problem(path)


def test_a_secret_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert problem(POSTGRES_PASSWORD_FILE=str(path)).startswith(
        f"POSTGRES_PASSWORD_FILE: {path} cannot be read: No such"
    )
    path.write_text("\n", encoding="utf-8")
    assert problem(POSTGRES_URL_FILE=str(path)) == f"POSTGRES_URL_FILE: {path} is empty"
    path.write_bytes(b"\xff")
    assert problem(NEO4J_PASSWORD_FILE=str(path)) == f"NEO4J_PASSWORD_FILE: {path} is not UTF-8 text"
    both = problem(NEO4J_PASSWORD=PASSWORD, NEO4J_PASSWORD_FILE=str(path))
    assert both == "NEO4J_PASSWORD and NEO4J_PASSWORD_FILE are both set: unset one of them"


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("PENSTOCK_BATCH__COUNT", "0", "PENSTOCK_BATCH__COUNT: '0' is not a whole number from 1 to 32767"),
        ("PENSTOCK_BATCH__PERIOD", "soon", "PENSTOCK_BATCH__PERIOD: 'soon' is not a number from 0"),
        ("PENSTOCK_RETRY__MIN", "inf", "PENSTOCK_RETRY__MIN: 'inf' is not a number above 0"),
        ("PENSTOCK_QUEUE__TOPOLOGY", "maybe", "'maybe' is not one of declare, check, none"),
        ("PENSTOCK_RABBITMQ__TLS", "perhaps", "'perhaps' is not true or false"),
        ("LOG_FORMAT", "xml", "LOG_FORMAT: 'xml' is not one of json, console"),
        ("LOG_LEVEL", "loud", "LOG_LEVEL: 'loud' is not one of debug, info, warning, error"),
        ("PENSTOCK_HTTP__PORT", "70000", "'70000' is not a whole number from 0 to 65535"),
        ("PENSTOCK_BREAKER__PROBE_MIN", "61", "PENSTOCK_BREAKER__PROBE_MIN: probe_min (61) is above probe_max (60)"),
        ("POSTGRES_HOST", "db:port", "POSTGRES_HOST has no port from 1 to 65535 after its colon"),
        ("POSTGRES_HOST", "db 1", "POSTGRES_HOST is empty or holds spaces"),
        ("POSTGRES_HOST", "postgresql://db", "POSTGRES_HOST is a URL (postgresql://…): set it as URL"),
        ("NEO4J_HOST", "http://graph", "NEO4J_HOST is a URL (http://…)"),
        ("NEO4J_HOST", f"bolt://me:{PASSWORD}@graph", "NEO4J_HOST holds an @: set username and password on their own"),
        ("RABBITMQ_URL", "http://x:pw@h", "RABBITMQ_URL begins with http://: it has to begin with amqp://, amqps://"),
        ("POSTGRES_URL", f"me:{PASSWORD}@db", "POSTGRES_URL is no URL: it has to begin with postgresql://"),
        (
            "NEO4J_URL",
            f"bolt://me:{PASSWORD}@graph",
            "NEO4J_URL has a / in its username or password: percent-encode it",
        ),
        ("NEO4J_URL", "bolt://me:Tr0ub4dor?3@graph", "NEO4J_URL has no port from 1 to 65535 after its colon"),
    ],
)
def test_a_bad_value_names_the_variable_and_what_is_allowed(name: str, text: str, expected: str) -> None:
    text = problem(None, **{name: text})
    assert expected in text
    assert "Tr0ub4dor" not in text


def test_all_bad_values_are_named_at_once() -> None:
    text = problem(PENSTOCK_BATCH__COUNT="x", PENSTOCK_LIMITS__DEPTH="y")
    assert "PENSTOCK_BATCH__COUNT" in text
    assert "PENSTOCK_LIMITS__DEPTH" in text


def test_no_error_keeps_what_was_given_in_its_chain() -> None:
    with pytest.raises(SettingsError) as caught:
        load(None, None, {"POSTGRES_URL": f"mysql://me:{PASSWORD}@db"})
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("amqp://me:secret@mq:5672/%2F?heartbeat=600", "amqp://me@mq:5672/%2F"),
        ("postgresql://db/x?user=me&password=secret", "postgresql://db/x"),
        ("amqp://me:sec/ret@mq", "amqp://me@mq"),
        ("amqp://me:sec?ret@secret@mq", "amqp://me@mq"),
        ("me:secret@mq", "me@mq"),
        ("bolt://graph", "bolt://graph"),
    ],
)
def test_a_described_url_holds_no_password(url: str, expected: str) -> None:
    assert describe(url) == expected


def test_every_secret_that_is_set_is_known_in_every_form() -> None:
    environ = {
        "RABBITMQ_URL": "amqp://me:one%2Ftwo@mq",
        "POSTGRES_PASSWORD": "three'/four",
        "NEO4J_URL": "bolt://graph",
        "POSTGRES_URL": "postgresql://db/x?password=five",
    }
    known = secrets(load(None, None, environ))
    assert {"one%2Ftwo", "one/two", "three'/four", "three%27%2Ffour", "five"} <= known
    assert "" not in known
    assert secrets(Settings()) == frozenset()


def test_a_default_password_is_no_secret_even_where_it_is_set() -> None:
    environ = {"RABBITMQ_PASSWORD": "guest", "RABBITMQ_URL": "amqp://guest:guest@mq"}
    assert secrets(load(None, None, environ)) == frozenset()
    assert "guest" in secrets(load(None, None, {"POSTGRES_PASSWORD": "guest"}))


def test_effective_settings_tell_their_origin_and_no_password(file: Write) -> None:
    path = file("batch: {count: 7}\nworkers:\n  w: {log: {level: debug}}\n")
    environ = {"RABBITMQ_URL": "amqps://me:hidden@mq/v", "POSTGRES_PASSWORD": PASSWORD, "RABBITMQ_TLS": "1"}
    found = {name: (value, origin) for name, value, origin in effective("w", path, environ)}
    assert found["batch.count"] == ("7", f"{path}:1: batch.count")
    assert found["log.level"] == ("debug", f"{path}:3: workers.w.log.level")
    assert found["rabbitmq.url"] == ("amqps://me@mq/v", "RABBITMQ_URL")
    assert found["postgres.password"] == ("***", "POSTGRES_PASSWORD")
    assert found["rabbitmq.tls"] == ("true", "RABBITMQ_TLS")
    assert found["neo4j.password"] == ("-", "default")
    assert found["http.port"] == ("-", "default")
    assert found["queue.prefetch"] == ("2000", "default")


BACKUPS = "postgresql://u:geh%40eim@two/x  postgresql://u:zwei@three:5433/x"


def test_backups_are_several_addresses_in_order() -> None:
    settings = load(None, None, {"POSTGRES_BACKUP_URL": BACKUPS, "POSTGRES_REGIONS": "east west north"})
    assert backup_urls(settings.postgres) == BACKUPS.split()
    assert settings.postgres.regions.split() == ["east", "west", "north"]
    assert backup_urls(settings.neo4j) == []


@pytest.mark.parametrize("empty", ["", "  \n"])
def test_no_backup_is_none(empty: str) -> None:
    assert load(None, None, {"NEO4J_BACKUP_URL": empty}).neo4j.backup_url is None


def test_the_passwords_of_backups_are_secret(tmp_path: Path) -> None:
    environ = {"POSTGRES_BACKUP_URL": BACKUPS}
    settings = load(None, None, environ)
    assert {"geh@eim", "geh%40eim", "zwei"} <= secrets(settings)
    shown = {name: value for name, value, _ in effective(None, None, environ)}
    assert shown["postgres.backup_url"] == "postgresql://u@two/x postgresql://u@three:5433/x"
    assert "zwei" not in repr(settings)
    secret = tmp_path / "backup"
    secret.write_text("bolt://u:zwei@two\nbolt://u:drei@three\n")
    assert len(backup_urls(load(None, None, {"NEO4J_BACKUP_URL_FILE": str(secret)}).neo4j)) == 2


def test_a_backup_that_is_no_address_is_refused_without_being_quoted() -> None:
    text = problem(POSTGRES_BACKUP_URL="postgresql://u:zwei@two/x http://u:drei@three")
    assert text == "POSTGRES_BACKUP_URL begins with http://: it has to begin with postgresql://, postgres://"


def test_regions_are_as_many_as_servers() -> None:
    expected = "POSTGRES_REGIONS: regions names 2, it takes 1: the primary's and each backup's, or none"
    assert problem(POSTGRES_REGIONS="east west") == expected


def test_keys_are_kept_for_longer_than_anything_may_wait(tmp_path: Path) -> None:
    assert Settings().ledger.age == 30 * 86_400
    week = 7 * 86_400
    for environ, named in (
        ({}, "outbox.age (604800 s)"),
        ({"PENSTOCK_OUTBOX__AGE": "5", "PENSTOCK_SPILL__PATH": str(tmp_path)}, "spill.age (604800 s)"),
    ):
        text = problem(PENSTOCK_LEDGER__AGE=str(week), **environ)
        assert f"ledger.age (604800 s) is not above {named}" in text
        assert load("any", None, {"PENSTOCK_LEDGER__AGE": f"{week + 0.5}", **environ}).ledger.age == week + 0.5
    # Without a path there is no spill.
    settings = load("any", None, {"PENSTOCK_SPILL__AGE": str(90 * 86_400)})
    assert settings.spill.age > settings.ledger.age
    shown = {name: (value, origin) for name, value, origin in effective("any", None, {"PENSTOCK_LEDGER__AGE": "1e6"})}
    assert shown["ledger.age"] == ("1000000.0", "PENSTOCK_LEDGER__AGE")
