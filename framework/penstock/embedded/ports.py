"""Free ports on loopback, for servers that keep them."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST = 12_000
HIGHEST = 32_000


def free_ports(count: int) -> list[int]:
    """Return as many different ports of 127.0.0.1 that nobody listens on now.

    They lie below those the kernel gives to outgoing connections: a client that keeps dialling a stopped server there
    can be given the server's own port, and then keeps the server from starting again.
    """
    limits = Path("/proc/sys/net/ipv4/ip_local_port_range")
    highest = min(HIGHEST, int(limits.read_text().split()[0]) - 1) if limits.exists() else HIGHEST
    ports: list[int] = []
    for port in random.sample(range(LOWEST, highest), highest - LOWEST):
        if len(ports) == count:
            break
        if is_free(port):
            ports.append(port)
    return ports


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
