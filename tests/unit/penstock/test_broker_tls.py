"""The settings of TLS to the broker: what cannot work is refused when they are read, naming the variable."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from penstock.broker_tls import context_of, explanation
from penstock.errors import SettingsError
from penstock.settings import load
from support.certificates import self_signed

if TYPE_CHECKING:
    from pathlib import Path

    from penstock.settings import RabbitMQ


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two certificates with their keys: `one` and `other`."""
    made = tmp_path_factory.mktemp("certificates")
    self_signed(made, "one")
    self_signed(made, "other")
    (made / "both.pem").write_text((made / "one.crt").read_text() + (made / "one.key").read_text())
    (made / "empty").touch()
    return made


def read(folder: Path, **environ: str) -> RabbitMQ:
    named = {name: text.replace("~", f"{folder}/") for name, text in environ.items()}
    return load(None, None, {f"RABBITMQ_{name}": text for name, text in named.items()}).rabbitmq


def test_without_files_the_url_and_the_system_decide(folder: Path) -> None:
    assert context_of(read(folder)) is None
    assert context_of(read(folder, TLS="true")) is None
    assert context_of(read(folder, URL="amqps://mq")) is None


@pytest.mark.parametrize(
    "environ",
    [
        {"TLS_CA": "~one.crt"},
        {"TLS_CERT": "~one.crt", "TLS_KEY": "~one.key"},
        {"TLS_CERT": "~both.pem"},
        {"TLS_CA": "~other.crt", "TLS_CERT": "~both.pem", "TLS_KEY": "~one.key"},
    ],
)
def test_files_make_a_context_that_verifies_certificate_and_host(folder: Path, environ: dict[str, str]) -> None:
    for on in ({"TLS": "true"}, {"URL": "amqps://mq:1,mq:2/v"}):
        context = context_of(read(folder, **environ, **on))
        assert context is not None
        assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
        if "TLS_CA" in environ:
            [authority] = context.get_ca_certs()
            name = environ["TLS_CA"].removeprefix("~").removesuffix(".crt")
            assert authority["subject"] == ((("commonName", name),),)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TLS_CA": "~none"}, "RABBITMQ_TLS_CA names .*/none, which cannot be read: No such file or directory"),
        ({"TLS_CERT": "~none"}, "RABBITMQ_TLS_CERT names .*/none, which cannot be read: No such file"),
        ({"TLS_KEY": "~none"}, "RABBITMQ_TLS_KEY names .*/none, which cannot be read: No such file"),
        ({"TLS_CA": "~"}, "RABBITMQ_TLS_CA names .*, which cannot be read: Is a directory"),
        ({"TLS_CA": "~empty"}, "RABBITMQ_TLS_CA names .*/empty, which holds no certificate in PEM form"),
        ({"TLS_CA": "~one.key"}, "RABBITMQ_TLS_CA names .*/one.key, which holds no certificate in PEM form"),
        ({"TLS_CERT": "~one.crt"}, "RABBITMQ_TLS_CERT.*: tls_cert and tls_key are no certificate and its key"),
        (
            {"TLS_CERT": "~one.crt", "TLS_KEY": "~other.key"},
            "RABBITMQ_TLS_CERT, RABBITMQ_TLS_KEY: tls_cert and tls_key are no certificate and its key",
        ),
        ({"TLS_KEY": "~one.key"}, "RABBITMQ_TLS_KEY: tls_key is set without tls_cert"),
    ],
)
def test_what_cannot_work_is_refused_by_name(folder: Path, environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(folder, **environ, TLS="true")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"TLS_CA": "~one.crt"}, "RABBITMQ_TLS_CA: tls_ca is set and TLS is off: set RABBITMQ_TLS=true"),
        (
            {"TLS_CA": "~one.crt", "URL": "amqp://mq"},
            "url is without TLS, and tls_ca asks for it",
        ),
        ({"TLS": "true", "URL": "amqp://mq"}, "url is without TLS, and tls asks for it: begin url with amqps"),
        ({"URL": "amqps://me:secret@mq?no_verify_ssl=1"}, "url has no_verify_ssl: .*name its authority as tls_ca"),
    ],
)
def test_nothing_is_sent_in_the_clear_or_to_anybody_without_a_word(
    folder: Path, environ: dict[str, str], message: str
) -> None:
    with pytest.raises(SettingsError, match=message) as caught:
        read(folder, **environ)
    assert "secret" not in str(caught.value)


def test_only_what_is_a_failure_of_tls_is_explained_as_one() -> None:
    assert explanation(ConnectionResetError("reset"), "amqp://mq") is None
    assert explanation(ConnectionRefusedError("refused"), "amqps://mq") is None
    hidden = RuntimeError("the client library's words")
    hidden.__cause__ = ssl.SSLError(1, "something new")
    text = "TLS fails (something new): check RABBITMQ_TLS and RABBITMQ_PORT"
    assert explanation(hidden, "amqps://mq") == text
