"""TCP keepalive."""

from __future__ import annotations

import socket

from penstock import keepalive
from penstock.keepalive import keep_alive


def test_keepalive_is_set_on_tcp_and_not_on_unix_sockets() -> None:
    with socket.socket(socket.AF_INET) as peer:
        keep_alive(peer)
        assert peer.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == keepalive.KEEPALIVE_IDLE
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL) == keepalive.KEEPALIVE_INTERVAL
        assert peer.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == keepalive.KEEPALIVE_COUNT
    with socket.socket(socket.AF_UNIX) as local:
        keep_alive(local)
        assert local.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
