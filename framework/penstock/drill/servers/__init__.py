"""Real servers for the tests.

Each comes from the first of these that can be had: an address given by environment, Docker, a server
installed here, the embedded stack. `servers.choose` decides, `tests/conftest.py` makes fixtures of it.
"""

from __future__ import annotations

from penstock.drill.servers.address import Address
from penstock.drill.servers.choose import (
    private_pgbouncer,
    private_server,
    private_standby,
    shared_server,
    stand_in,
)
from penstock.drill.servers.server import Server, Unavailable, running

__all__ = [
    "Address",
    "Server",
    "Unavailable",
    "private_pgbouncer",
    "private_server",
    "private_standby",
    "running",
    "shared_server",
    "stand_in",
]
