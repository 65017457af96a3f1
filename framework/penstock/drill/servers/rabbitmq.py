"""RabbitMQ, installed here."""

from __future__ import annotations

import secrets
import shutil
import signal
import socket
from pathlib import Path

import httpx

from penstock.drill.servers.address import Address
from penstock.drill.servers.daemon import Daemon, give
from penstock.drill.servers.folder import Folder
from penstock.drill.servers.native import NativeServer
from penstock.drill.servers.server import Unavailable
from penstock.embedded.ports import free_ports

USER = "rabbitmq"
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


def native_rabbitmq() -> NativeServer:
    """A node of its own: data, ports, cookie and port mapper (epmd). Raises Unavailable."""
    program = find_program()
    folder = Folder("rabbitmq")
    home, log = folder.path / "server", folder.path / "log"
    amqp, management, distribution, mapper = free_ports(4)
    give(home, USER)
    _configure(home, amqp, management)
    environment = _environment(home, amqp, distribution, mapper)
    epmd = ["epmd", "-port", str(mapper), "-address", "127.0.0.1"]
    return NativeServer(
        address=Address(f"amqp://guest:guest@127.0.0.1:{amqp}/", f"http://127.0.0.1:{management}"),
        daemon=Daemon([program], folder=home, log=log, environment=environment, user=USER),
        answers=answers,
        stop_signal=signal.SIGTERM,
        folder=folder,
        # Left to itself, the node would start one that outlives it.
        helpers=[Daemon(epmd, folder=home, log=log, environment=environment, user=USER)],
    )


def find_program() -> str:
    """The server's start script. Raises Unavailable."""
    # Debian's rabbitmq-server on PATH is a wrapper that changes user and drops the environment.
    inner = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    found = str(inner) if inner.exists() else shutil.which("rabbitmq-server")
    if found is None or shutil.which("epmd") is None:
        raise Unavailable("RabbitMQ is not installed: run `make servers`, or apt-get install rabbitmq-server")
    return found


def answers(address: Address) -> bool:
    """Whether AMQP and the management API both serve."""
    try:
        with socket.create_connection((address.host, address.port), 2) as connection:
            connection.sendall(b"AMQP\x00\x00\x09\x01")
            # Connection.Start is a method frame: its first byte is 1.
            greeted = connection.recv(1) == b"\x01"
        login = (address.username, address.password)
        overview = httpx.get(f"{address.management_url}/api/overview", auth=login, timeout=2)
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


def _configure(home: Path, amqp: int, management: int) -> None:
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
        give(path, USER)
