"""Free ports on loopback, for servers that keep them."""

from __future__ import annotations

import random
import socket
from pathlib import Path

from penstock.errors import StackError

LOWEST = 12_000
HIGHEST = 32_000
#: Where Linux says which ports it gives to outgoing connections.
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")
#: Fewer ports than this are too few to choose from.
_CHOICE = 1_000


def free_ports(count: int) -> list[int]:
    """Return as many different ports of 127.0.0.1 that nobody listens on now. Raises StackError.

    They lie below those the kernel gives to outgoing connections, where there are any such: a client that keeps
    dialling a stopped server there can be given the server's own port, and then keeps the server from starting again.
    """
    ports: list[int] = []
    candidates = range(LOWEST, _highest())
    for port in random.sample(candidates, len(candidates)):
        if is_free(port):
            ports.append(port)
        if len(ports) == count:
            return ports
    raise StackError(f"no {count} ports between {LOWEST} and {candidates.stop} of 127.0.0.1 are free: free some")


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _highest() -> int:
    try:
        lowest_outgoing = int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return HIGHEST
    return min(HIGHEST, lowest_outgoing) if lowest_outgoing - LOWEST >= _CHOICE else HIGHEST
