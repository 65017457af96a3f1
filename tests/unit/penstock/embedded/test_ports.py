"""Ports for servers that keep them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from penstock.embedded import ports
from penstock.embedded.ports import HIGHEST, LOWEST, free_ports, is_free
from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def outgoing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the kernel says of outgoing connections."""
    path = tmp_path / "ip_local_port_range"
    monkeypatch.setattr(ports, "_OUTGOING", path)
    return path


@pytest.mark.parametrize(
    ("told", "highest"),
    [("32768\t60999\n", HIGHEST), ("15000 65535\n", 15_000), ("1024 65535\n", HIGHEST), ("12001 65535\n", HIGHEST)],
)
def test_they_lie_below_the_ports_of_outgoing_connections_where_there_is_room(
    outgoing: Path, told: str, highest: int
) -> None:
    outgoing.write_text(told)
    found = free_ports(50)
    assert len(set(found)) == 50
    assert all(LOWEST <= port < highest for port in found)


def test_a_system_that_does_not_say_is_no_obstacle(outgoing: Path) -> None:
    assert not outgoing.exists()
    assert len(free_ports(3)) == 3


def test_a_port_that_somebody_listens_on_is_not_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert not is_free(listener.getsockname()[1])


def test_too_few_of_them_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "is_free", lambda _: False)
    with pytest.raises(StackError, match=r"no 2 ports between 12000 and .* are free"):
        free_ports(2)
