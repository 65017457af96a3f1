"""TCP keepalive: a peer that vanished without a word is noticed by the operating system."""

from __future__ import annotations

import socket

#: A silent peer is noticed after KEEPALIVE_IDLE + KEEPALIVE_COUNT × KEEPALIVE_INTERVAL seconds.
KEEPALIVE_IDLE = 30
KEEPALIVE_INTERVAL = 10
KEEPALIVE_COUNT = 3


def keep_alive(peer: socket.socket) -> None:
    """Switch TCP keepalive on. A Unix socket needs none."""
    if peer.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", KEEPALIVE_IDLE),
        ("TCP_KEEPINTVL", KEEPALIVE_INTERVAL),
        ("TCP_KEEPCNT", KEEPALIVE_COUNT),
    ):
        if hasattr(socket, option):  # not every system has all three
            peer.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
