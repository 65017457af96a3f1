"""Who may come in, and what is agreed on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from pamqp.commands import Basic, Connection

from penstock.embedded.broker.handshake import Handshake, LoginRefused
from penstock.embedded.broker.login import Login, read_login, write_login
from penstock.embedded.broker.replies import ConnectionFault
from penstock.errors import StackError

if TYPE_CHECKING:
    from pathlib import Path

LOGIN = Login("penstock", "pass wörd")
RESPONSE = "\0penstock\0pass wörd"


def started(response: Any = RESPONSE, mechanism: str = "PLAIN", **properties: Any) -> Handshake:
    handshake = Handshake(LOGIN)
    assert isinstance(handshake.greeting(), Connection.Start)
    assert isinstance(handshake.answer(Connection.StartOk(properties, mechanism, response)), Connection.Tune)
    return handshake


def test_it_ends_with_an_open_connection() -> None:
    handshake = started(connection_name="me", capabilities={"consumer_cancel_notify": True})
    assert handshake.answer(Connection.TuneOk(10, 8192, 7)) is None
    assert not handshake.done
    assert isinstance(handshake.answer(Connection.Open("/")), Connection.OpenOk)
    assert handshake.done
    assert (handshake.channel_max, handshake.largest_frame, handshake.heartbeat) == (10, 8192, 7)
    assert (handshake.name, handshake.username) == ("me", "penstock")
    assert handshake.capabilities == {"consumer_cancel_notify": True}


def test_zero_leaves_it_to_the_broker_and_takes_no_heartbeat() -> None:
    handshake = started(capabilities="odd", connection_name=7)
    handshake.answer(Connection.TuneOk(0, 0, 0))
    assert (handshake.channel_max, handshake.largest_frame, handshake.heartbeat) == (2047, 131_072, 0)
    assert (handshake.capabilities, handshake.name) == ({}, "")


@pytest.mark.parametrize(
    "response", ["", "\0penstock\0", "\0penstock\0other", "penstock\0penstock\0pass wörd", b"\xff\0"]
)
def test_another_login_is_refused(response: Any) -> None:
    with pytest.raises(LoginRefused, match="ACCESS_REFUSED - Login was refused"):
        started(response)


@pytest.mark.parametrize(
    ("channel_max", "frame_max", "text"),
    [(2048, 0, "channel_max = 2048 is not from 1 to 2047"), (0, 4095, "frame_max = 4095"), (0, 131_073, "131073")],
)
def test_what_cannot_be_agreed_on(channel_max: int, frame_max: int, text: str) -> None:
    with pytest.raises(ConnectionFault, match=f"NOT_ALLOWED - negotiated .*{text}"):
        started().answer(Connection.TuneOk(channel_max, frame_max, 0))


def test_steps_out_of_order_and_other_mechanisms() -> None:
    for method in (Connection.Open("/"), Connection.TuneOk(), Basic.Ack(1)):
        with pytest.raises(ConnectionFault, match=r"COMMAND_INVALID - .* where Connection.StartOk was expected"):
            Handshake(LOGIN).answer(method)
    with pytest.raises(ConnectionFault, match="unknown authentication mechanism 'AMQPLAIN'"):
        started(mechanism="AMQPLAIN")


def test_the_file_of_the_login(tmp_path: Path) -> None:
    path = tmp_path / "login"
    write_login(path, LOGIN)
    write_login(path, LOGIN)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_login(path) == LOGIN
    assert "wörd" not in repr(LOGIN)
    path.write_text("only a user\n")
    with pytest.raises(StackError, match=f"{path} does not hold a user and a password"):
        read_login(path)
    with pytest.raises(StackError, match="missing/login cannot be written: No such file or directory"):
        write_login(tmp_path / "missing" / "login", LOGIN)
