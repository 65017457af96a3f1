"""Where the servers of a stack live."""

from __future__ import annotations

import json
import signal
import socket
import stat
from typing import TYPE_CHECKING

import pytest

from penstock.embedded.part import Command, Place
from penstock.embedded.places import FILE, Places
from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path


class NoServer:
    """A part that is never started."""

    name = "none"
    username = "nobody"
    variable = "NONE_URL"
    stop_signal = signal.SIGTERM

    def url(self, place: Place) -> str:
        return f"none://{place.username}:{place.password}@127.0.0.1:{place.port}"

    def prepare(self, place: Place) -> None:
        """Nothing to prepare."""

    def command(self, place: Place) -> Command:
        return Command((str(place.folder),))

    async def ping(self, place: Place) -> None:
        raise ConnectionRefusedError(place.port)


def test_a_place_is_the_same_at_every_start(tmp_path: Path) -> None:
    assert Places(tmp_path).place(NoServer()) is None
    place, taken = Places(tmp_path).settle(NoServer())
    assert taken is None
    assert place.folder == tmp_path / "none"
    assert Places(tmp_path).place(NoServer()) == place
    assert Places(tmp_path).settle(NoServer()) == (place, None)


def test_a_taken_port_is_left_to_who_has_it(tmp_path: Path) -> None:
    before, _ = Places(tmp_path).settle(NoServer())
    with socket.create_server(("127.0.0.1", before.port)):
        place, taken = Places(tmp_path).settle(NoServer())
    assert taken == before.port != place.port
    assert place.password == before.password
    assert Places(tmp_path).place(NoServer()) == place


def test_nobody_else_can_read_the_passwords(tmp_path: Path) -> None:
    place, _ = Places(tmp_path).settle(NoServer())
    assert stat.S_IMODE((tmp_path / FILE).stat().st_mode) == 0o600
    assert stat.S_IMODE(place.folder.stat().st_mode) == 0o700
    assert place.password not in repr(place)
    assert len(place.password) >= 32


@pytest.mark.parametrize(
    ("content", "field"),
    [
        ("{", "the whole of it"),
        ('{"none": {"port": 0, "password": "a-secret-of-32-characters-or-so"}}', r"none\.port"),
        ('{"none": {"port": 5}}', r"none\.password"),
    ],
)
def test_a_damaged_file_is_told_without_its_passwords(tmp_path: Path, content: str, field: str) -> None:
    (tmp_path / FILE).write_text(content)
    with pytest.raises(StackError, match=rf"stack\.json is damaged \({field}\): put it back, or remove") as caught:
        Places(tmp_path)
    assert "secret" not in str(caught.value)


def test_all_parts_have_ports_of_their_own(tmp_path: Path) -> None:
    class Other(NoServer):
        name = "other"

    first, _ = Places(tmp_path).settle(NoServer())
    second, _ = Places(tmp_path).settle(Other())
    assert first.port != second.port
    assert json.loads((tmp_path / FILE).read_text()).keys() == {"none", "other"}
