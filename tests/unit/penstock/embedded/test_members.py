"""The processes of a stack, known by files."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import psutil
import pytest

from penstock.drill.servers.wait import wait_until
from penstock.embedded.members import Member, members_in
from penstock.embedded.part import Command
from penstock.errors import StackError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

READY = "import signal, time; print('ready', flush=True); signal.pause()"
STUBBORN = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {READY}"


def program(text: str) -> Command:
    return Command((sys.executable, "-c", text))


@pytest.fixture
async def member(tmp_path: Path) -> AsyncIterator[Member]:
    found = Member("one", tmp_path)
    yield found
    await found.stop(signal.SIGKILL)


def say_ready(member: Member) -> None:
    wait_until(lambda: member.last_line() == "ready", 20, "it is ready")


async def test_a_member_runs_in_a_session_of_its_own_until_it_is_stopped(member: Member, tmp_path: Path) -> None:
    assert member.pid is None
    member.spawn(program(READY), tmp_path)
    say_ready(member)
    assert member.pid is not None
    assert os.getsid(member.pid) == member.pid
    assert [one.name for one in members_in(tmp_path)] == ["one"]
    await member.stop(signal.SIGTERM)
    assert member.pid is None
    assert members_in(tmp_path) == []


async def test_another_command_knows_and_stops_it(member: Member, tmp_path: Path) -> None:
    member.spawn(program(READY), tmp_path)
    other = Member("one", tmp_path)
    assert other.pid == member.pid is not None
    await other.stop(signal.SIGTERM)
    assert member.pid is None


async def test_one_that_will_not_end_is_killed(member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("penstock.embedded.members.STOP_SECONDS", 0.2)
    member.spawn(program(STUBBORN), tmp_path)
    say_ready(member)
    await member.stop(signal.SIGTERM)
    assert member.pid is None


async def test_a_killed_one_is_down(member: Member, tmp_path: Path) -> None:
    member.spawn(program(READY), tmp_path)
    assert member.pid is not None
    os.kill(member.pid, signal.SIGKILL)
    wait_until(lambda: member.pid is None, 20, "it is seen to be down")


def test_a_pid_that_another_program_has_by_now_is_not_it(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", READY], stdout=subprocess.DEVNULL) as innocent:
        member = Member("one", tmp_path)
        (tmp_path / "one.pid").write_text(f'{{"pid": {innocent.pid}, "started": "long ago"}}')
        assert member.pid is None
        innocent.kill()


async def test_a_stale_file_does_not_stop_anybody_else(tmp_path: Path) -> None:
    member = Member("one", tmp_path)
    (tmp_path / "one.pid").write_text(f'{{"pid": {os.getpid()}, "started": "long ago"}}')
    await member.stop(signal.SIGKILL)
    assert members_in(tmp_path) == []


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts the start of a process from the machine's own")
async def test_a_step_of_the_clock_does_not_make_it_another(
    member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    member.spawn(program(READY), tmp_path)
    before = psutil.Process.create_time
    monkeypatch.setattr(psutil.Process, "create_time", lambda process: before(process) + 100)
    assert Member("one", tmp_path).pid is not None


async def test_one_whose_file_cannot_be_written_does_not_run_unknown(
    member: Member, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[int] = []

    def full(_member: Member, pid: int) -> None:
        started.append(pid)
        raise OSError(errno.ENOSPC, "No space left on device", "one.new")

    monkeypatch.setattr(Member, "adopt", full)
    with pytest.raises(OSError, match="No space left"):
        member.spawn(program(READY), tmp_path)
    assert not psutil.pid_exists(started[0])


def test_a_damaged_file_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "one.pid").write_text("{")
    with pytest.raises(StackError, match=r"one\.pid is damaged: see with ps whether one runs"):
        _ = Member("one", tmp_path).pid


async def test_the_log_of_the_start_before_is_kept(member: Member, tmp_path: Path) -> None:
    for text in ("first", "second"):
        member.spawn(program(f"print({text!r}, flush=True)"), tmp_path)
        wait_until(lambda: member.pid is None, 20, "its end")
    assert member.last_line() == "second"
    assert (tmp_path / "one.log.1").read_text() == "first\n"
