"""Servers in Docker, by testcontainers. Its own reaper ends them when the session is killed."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from docker.errors import DockerException
from testcontainers.core.container import DockerContainer
from testcontainers.core.docker_client import DockerClient, get_docker_host

from penstock.drill.servers import graph, postgres, rabbitmq
from penstock.drill.servers.address import Address
from penstock.drill.servers.wait import wait_until
from penstock.embedded.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable
    from urllib.parse import SplitResult

PASSWORD = "penstock-test"
#: Where an engine listens whose address names no port.
ENGINE_PORTS = {"tcp": 2375, "http": 2375, "https": 2376, "ssh": 22}


def engine_answers() -> bool:
    """Whether there is a Docker engine to ask."""
    # Asked first, because Docker's client never closes a socket on which nobody listens.
    if not _listens(urlsplit(get_docker_host() or "unix:///var/run/docker.sock")):
        return False
    with contextlib.suppress(DockerException):
        client = DockerClient().client
        try:
            return bool(client.ping())
        finally:
            client.close()
    return False


def _listens(engine: SplitResult) -> bool:
    family = socket.AF_UNIX if engine.scheme == "unix" else socket.AF_INET
    where = engine.path if engine.scheme == "unix" else (engine.hostname, engine.port or ENGINE_PORTS[engine.scheme])
    with socket.socket(family) as probe:
        probe.settimeout(5)
        return probe.connect_ex(where) == 0


class ContainerServer:
    """One container; its ports on this side are fixed, so that a restart keeps them."""

    def __init__(self, container: DockerContainer, address: Address, answers: Callable[[Address], bool]) -> None:
        self.address = address
        self._container = container
        self._answers = answers
        self._created = False

    @property
    def url(self) -> str:
        return self.address.url

    def start(self) -> None:
        if self._created:
            self._container.get_wrapped_container().start()
        else:
            self._created = True
            self._container.start()
        wait_until(lambda: self._answers(self.address), 180, f"{self._container.image} answers")

    def stop(self) -> None:
        self._container.get_wrapped_container().stop(timeout=60)

    def kill(self) -> None:
        self._container.get_wrapped_container().kill()

    def freeze(self) -> None:
        self._container.get_wrapped_container().pause()

    def thaw(self) -> None:
        self._container.get_wrapped_container().unpause()

    def control(self, *words: str) -> str:
        code, output = self._container.exec(["rabbitmqctl", *words])
        assert isinstance(output, bytes)
        text = output.decode(errors="replace")
        if code != 0:
            raise RuntimeError(f"{words} ended with {code}: {text}")
        return text

    def close(self) -> None:
        self._container.stop()


def rabbitmq_container() -> ContainerServer:
    """RabbitMQ, the newest of its fourth generation, with its management API."""
    return _rabbitmq("rabbitmq:4-management")


def rabbitmq4_container() -> ContainerServer:
    """RabbitMQ 4.0 with its management API."""
    return _rabbitmq("rabbitmq:4.0-management")


def _rabbitmq(image: str) -> ContainerServer:
    amqp, management = free_ports(2)
    fast = " ".join(f"-rabbit {name} {value}" for name, value in rabbitmq.FAST.items())
    container = DockerContainer(image).with_env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", fast)
    container.with_bind_ports(5672, amqp).with_bind_ports(15672, management)
    host = _host()
    address = Address(f"amqp://guest:guest@{host}:{amqp}/", f"http://{host}:{management}")
    return ContainerServer(container, address, rabbitmq.answers)


def postgres_container() -> ContainerServer:
    """PostgreSQL."""
    [port] = free_ports(1)
    container = DockerContainer("postgres:17").with_env("POSTGRES_PASSWORD", PASSWORD).with_bind_ports(5432, port)
    container.with_command(["postgres", "-c", "wal_level=logical", "-c", "max_connections=200", "-c", "fsync=off"])
    address = Address(f"postgresql://postgres:{PASSWORD}@{_host()}:{port}/postgres")
    return ContainerServer(container, address, postgres.answers)


def neo4j_container() -> ContainerServer:
    """Neo4j Community."""
    [port] = free_ports(1)
    container = DockerContainer("neo4j:5.26-community").with_env("NEO4J_AUTH", f"neo4j/{PASSWORD}")
    container.with_bind_ports(7687, port)
    return ContainerServer(container, Address(f"bolt://neo4j:{PASSWORD}@{_host()}:{port}"), graph.answers)


def _host() -> str:
    client = DockerClient()
    try:
        return client.host()
    finally:
        client.client.close()
