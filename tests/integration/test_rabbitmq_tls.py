"""RabbitMQ over TLS: its certificate is verified, ours is shown, and what is not accepted is told with its mend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pydantic import SecretStr

from penstock import Confirmed, Publisher
from penstock.broker import close, connect
from penstock.drill.installation import Installation
from penstock.drill.servers import Unavailable, running
from penstock.drill.servers.rabbitmq import native_rabbitmq
from penstock.embedded.ports import free_ports
from penstock.errors import LinkError
from penstock.settings import RabbitMQ, Settings
from support import broker
from support.certificates import self_signed, signed
from support.notes import quick
from support.notes import running as working

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONFIGURATION = """
listeners.ssl.1 = 127.0.0.1:{port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {server}
ssl_options.keyfile = {key}
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
"""


class Encrypted:
    """A broker that demands a client's certificate; its own is for localhost and not for 127.0.0.1."""

    def __init__(self, folder: Path, plain_url: str, port: int) -> None:
        self._folder = folder
        self.plain_url = plain_url
        self.port = port

    def settings(self, host: str = "localhost", **others: Any) -> RabbitMQ:
        """Settings that work; a file of another name is given by that name, and None leaves it out."""
        names = {"tls_ca": "server.crt", "tls_cert": "client.crt", "tls_key": "client.key", **others}
        files = {key: str(self._folder / name) for key, name in names.items() if name is not None}
        return RabbitMQ.model_validate({"host": f"{host}:{self.port}", "tls": True, "connect_timeout": 20, **files})


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Encrypted]:
    """RabbitMQ with a TLS listener beside the plain one."""
    try:
        server = native_rabbitmq()
    except Unavailable as reason:
        pytest.skip(f"RabbitMQ is not installed here: {reason}")
    folder = tmp_path_factory.mktemp("tls")
    authority = self_signed(folder, "authority")
    signed(folder, "client", authority)
    self_signed(folder, "server", "DNS:localhost")
    self_signed(folder, "other")
    home = server.daemon.folder
    for name in ("server.crt", "server.key", "authority.crt"):
        (home / name).write_bytes((folder / name).read_bytes())
    [port] = free_ports(1)
    with (home / "rabbitmq.conf").open("a") as configuration:
        files = {"authority": home / "authority.crt", "server": home / "server.crt", "key": home / "server.key"}
        configuration.write(CONFIGURATION.format(port=port, **files))
    with running(server):
        yield Encrypted(folder, server.url, port)


async def refusal(settings: RabbitMQ) -> str:
    with pytest.raises(LinkError) as caught:
        await connect(settings, "test")
    assert "\n" not in str(caught.value)
    return str(caught.value)


async def test_worker_and_publisher_work_over_tls(encrypted: Encrypted) -> None:
    secure = encrypted.settings()
    settings = quick(encrypted.plain_url).model_copy(update={"rabbitmq": secure})
    async with working(encrypted.plain_url, settings) as worker:
        assert worker.process.link.place == f"localhost:{encrypted.port}"
        async with Publisher(Settings(rabbitmq=secure)) as publisher:
            for number in range(20):
                receipt = await publisher.publish("notes", "any", b'{"id": %d}' % number)
                assert isinstance(receipt, Confirmed)
            assert isinstance(await publisher.publish("notes", "any", b"no note"), Confirmed)
        await worker.settled(21)
        assert sorted(worker.sink.ids) == list(range(20))
        assert worker.metric("penstock_dead_lettered_total") == 1
        await worker.stop()
    assert await broker.depth(encrypted.plain_url, "notes.dlq") == 1


async def test_the_urls_own_parameters_still_name_the_files(encrypted: Encrypted) -> None:
    files = encrypted.settings()
    parameters = f"cafile={files.tls_ca}&certfile={files.tls_cert}&keyfile={files.tls_key}"
    url = SecretStr(f"amqps://guest:guest@localhost:{encrypted.port}/?{parameters}")
    await close(await connect(RabbitMQ(url=url), "test"))


async def test_a_broker_that_another_authority_vouches_for_is_not_talked_to(encrypted: Encrypted) -> None:
    text = await refusal(encrypted.settings(tls_ca="other.crt"))
    assert f"amqps://guest@localhost:{encrypted.port}/" in text
    assert "its certificate is not accepted (" in text
    assert "): set RABBITMQ_TLS_CA to the file of the authority that signed it" in text


async def test_a_broker_that_no_authority_of_the_system_vouches_for_is_not_talked_to(encrypted: Encrypted) -> None:
    text = await refusal(encrypted.settings(tls_ca=None, tls_cert=None, tls_key=None))
    assert "its certificate is not accepted (" in text


async def test_a_certificate_for_another_host_is_not_accepted(encrypted: Encrypted) -> None:
    text = await refusal(encrypted.settings(host="127.0.0.1"))
    assert "its certificate is for another host (" in text
    assert "'127.0.0.1'" in text
    assert "): set RABBITMQ_HOST to the name in it" in text


@pytest.mark.parametrize("certificate", [None, "other"])
async def test_a_broker_that_wants_another_client_certificate_or_any_says_so(
    encrypted: Encrypted, certificate: str | None
) -> None:
    shown = {"tls_cert": certificate and f"{certificate}.crt", "tls_key": certificate and f"{certificate}.key"}
    text = await refusal(encrypted.settings(**shown))
    # It hangs up so soon that its reason is not always read.
    assert "accept this client's certificate, or want" in text
    assert ": set RABBITMQ_TLS_CERT and RABBITMQ_TLS_KEY to one that it accepts" in text


async def test_the_plain_port_is_told_from_the_one_with_tls(encrypted: Encrypted) -> None:
    plain = encrypted.plain_url.rpartition(":")[2].strip("/")
    text = await refusal(encrypted.settings().model_copy(update={"host": f"localhost:{plain}"}))
    assert "it speaks no TLS at this port: check RABBITMQ_PORT" in text


def test_the_command_line_takes_the_files_from_the_environment(encrypted: Encrypted, tmp_path: Path) -> None:
    files = encrypted.settings()
    environ = {
        "RABBITMQ_HOST": f"localhost:{encrypted.port}",
        "RABBITMQ_TLS": "true",
        "RABBITMQ_TLS_CA": str(files.tls_ca),
        "RABBITMQ_TLS_CERT": str(files.tls_cert),
        "RABBITMQ_TLS_KEY": str(files.tls_key),
    }
    empty = tmp_path / "none.jsonl"
    empty.touch()
    words = ("publish", "jsonl", empty, "--exchange", "shop", "--routing-key", "order")
    assert Installation(environ).penstock(*words).returncode == 0
    wrong = Installation(environ | {"RABBITMQ_TLS_CA": str(tmp_path / "gone.crt")}).penstock(*words)
    assert wrong.returncode == 2
    assert f"RABBITMQ_TLS_CA names {tmp_path}/gone.crt, which cannot be read: No such file or directory" in wrong.stderr
