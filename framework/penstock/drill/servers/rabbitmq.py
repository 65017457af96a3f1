"""RabbitMQ, installed here."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx

from penstock.drill.servers import tls
from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon, as_user, give
from penstock.drill.servers.debian import INSIDE, find_debian
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import NativeServer
from penstock.drill.servers.server import Unavailable
from penstock.embedded.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Callable

USER = "rabbitmq"
#: Debian's. What it puts on PATH is a wrapper that changes user and drops the environment.
PROGRAMS = Path("/usr/lib/rabbitmq/bin")
#: The same for a server in Docker. Milliseconds: dead letters are tried again after 1.5 s instead of 180 s, queues
#: tell their state every 0.5 s instead of 5 s, and the management API is told every second.
FAST = {
    "dead_letter_worker_publisher_confirm_timeout": 1500,
    "quorum_tick_interval": 500,
    "stream_tick_interval": 500,
    "collect_statistics_interval": 1000,
}
CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
vm_memory_high_watermark.absolute = 1GB
disk_free_limit.absolute = 100MB
"""
ADVANCED = """[{{rabbit, [{fast}]}},
 {{rabbitmq_management_agent, [{{sample_retention_policies,
   [{{global, [{{605, 1}}]}}, {{basic, [{{605, 1}}]}}, {{detailed, [{{10, 1}}]}}]}}]}}].
"""


@dataclass(frozen=True, slots=True)
class Installed:
    """A RabbitMQ to run nodes of. `command` is what runs one of its programs for the node with that folder."""

    name: str
    programs: Path
    command: Callable[[Path, str], list[str]]
    #: User and group that own the node's folder, by name or number.
    owner: tuple[str | int, str | int]
    #: Where the node sees its folder; None: where it is.
    inside: Path | None = None


def native_rabbitmq() -> NativeServer:
    """A node of the RabbitMQ installed here. Raises Unavailable."""
    programs = find_programs()
    return _node(Installed("rabbitmq", programs, lambda _, program: [*as_user(USER), program], (USER, USER)))


def native_rabbitmq4() -> NativeServer:
    """A node of RabbitMQ 4.0, out of the Debian 13 that .ci/install-servers puts into a folder. Raises Unavailable."""
    debian = find_debian("PENSTOCK_TEST_RABBITMQ4_ROOT", "rabbitmq-4")

    def command(home: Path, program: str) -> list[str]:
        return [*as_user(None), *debian.command(home, USER, program)]

    return _node(Installed("rabbitmq4", PROGRAMS, command, debian.owner(USER), INSIDE))


def _node(installed: Installed) -> NativeServer:
    """A node of its own: data, ports, cookie and port mapper (epmd)."""
    folder = Folder(installed.name)
    home, log = folder.path / "server", folder.path / "log"
    amqp, management, distribution, mapper = free_ports(4)
    give(home, *installed.owner)
    _configure(home, amqp, management, installed.owner)
    environment = _environment(installed.inside or home, amqp, distribution, mapper)
    server = installed.command(home, str(installed.programs / "rabbitmq-server"))
    epmd = [*installed.command(home, "epmd"), "-port", str(mapper), "-address", "127.0.0.1"]
    return NativeServer(
        address=Address(f"amqp://guest:guest@127.0.0.1:{amqp}/", f"http://127.0.0.1:{management}"),
        daemon=Daemon(server, folder=home, log=log, environment=environment),
        answers=answers,
        stop_signal=signal.SIGTERM,
        folder=folder,
        # Left to itself, the node would start one that outlives it.
        helpers=[Daemon(epmd, folder=home, log=log, environment=environment)],
        tool=installed.command(home, str(installed.programs / "rabbitmqctl")),
    )


def find_programs() -> Path:
    """The folder of the server's programs. Raises Unavailable."""
    script = str(PROGRAMS / "rabbitmq-server")
    if not Path(script).exists():
        script = shutil.which("rabbitmq-server") or ""
    if not script or shutil.which("epmd") is None:
        raise Unavailable("RabbitMQ is not installed: run `make servers`, or apt-get install rabbitmq-server")
    return Path(script).resolve().parent


def answers(address: Address) -> bool:
    """Whether AMQP and the management API both serve."""
    try:
        with socket.create_connection((address.host, address.port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            # Connection.Start is a method frame: its first byte is 1.
            greeted = connection.recv(1) == b"\x01"
        login = (address.username, address.password)
        overview = httpx.get(f"{address.management_url}/api/overview", auth=login, timeout=2, verify=tls.CONTEXT)
    except (OSError, httpx.HTTPError):
        return False
    return greeted and overview.is_success


def _environment(home: Path, amqp: int, distribution: int, mapper: int) -> dict[str, str]:
    return {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(home),
        # A start script that becomes the server, so that its process id is the server's.
        "RABBITMQ_ALLOW_INPUT": "1",
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-noinput -kernel inet_dist_use_interface {127,0,0,1} +S 2:2",
        "RABBITMQ_NODENAME": f"penstock{amqp}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(amqp),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_FEATURE_FLAGS_FILE": str(home / "feature_flags"),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
    }


def _configure(home: Path, amqp: int, management: int, owner: tuple[str | int, str | int]) -> None:
    fast = ", ".join(f"{{{name}, {value}}}" for name, value in FAST.items())
    (home / "rabbitmq.conf").write_text(CONFIGURATION.format(amqp=amqp, management=management))
    (home / "advanced.config").write_text(ADVANCED.format(fast=fast))
    (home / "enabled_plugins").write_text("[rabbitmq_management].\n")
    (home / "rabbitmq-env.conf").touch()
    cookie = home / ".erlang.cookie"
    cookie.write_text(secrets.token_hex(16))
    # Erlang refuses a cookie that others can read.
    cookie.chmod(0o400)
    for path in home.iterdir():
        give(path, *owner)
